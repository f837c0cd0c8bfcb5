//! `kafka-storage`: ids of clusters, and log directories that are given to one (StorageTool, Formatter of Kafka 4.3.1).
//!
//! Must never touch a directory that belongs to another cluster or node.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use milena_storage::dirs::MetaProperties;
use milena_storage::fs::RealFs;

use super::{add_scram, features};
use crate::adopt;
use crate::partition::disk::{Disk, Identity, random_uuid, uuid_text};
use crate::settings::{Settings, Sources};

/// What a new cluster begins with, as Kafka writes it (MetadataVersion.LATEST_PRODUCTION).
const METADATA_VERSION: &str = "4.3-IV0";
/// The same as a number.
const METADATA_LEVEL: i16 = 30;

/// The Kafka storage tool.
#[derive(Debug, Parser)]
#[command(name = "kafka-storage")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get information about the Kafka log directories on this node.
    Info(ConfigArguments),
    /// Format the Kafka log directories on this node.
    Format(FormatArguments),
    /// Look up the features of a release, the latest stable one unless another is named.
    VersionMapping {
        /// The release version to use for the feature mapping.
        #[arg(long, short)]
        release_version: Option<String>,
    },
    /// Look up what levels of features depend on.
    FeatureDependencies {
        /// The features and their versions, in feature=version format.
        #[arg(long, short, required = true)]
        feature: Vec<String>,
    },
    /// Print a random UUID.
    RandomUuid,
}

#[derive(Args, Debug)]
struct ConfigArguments {
    /// The Kafka configuration file to use.
    #[arg(long, short)]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct FormatArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The cluster ID to use.
    #[arg(long, short = 't')]
    cluster_id: String,
    /// Skip over already formatted directories rather than failing.
    #[arg(long, short = 'g')]
    ignore_formatted: bool,
    /// A SCRAM_CREDENTIAL to add, for example SCRAM-SHA-256=[name=alice,password=alice-secret].
    #[arg(long, short = 'S')]
    add_scram: Vec<String>,
    /// The release version to use for the initial feature settings.
    #[arg(long, short)]
    release_version: Option<String>,
    /// The setting to use for a specific feature, in feature=level format.
    #[arg(long, short)]
    feature: Vec<String>,
    /// Initialize a controller as a single-node dynamic quorum.
    #[arg(long, short, group = "quorum")]
    standalone: bool,
    /// Initialize a server without specifying a dynamic quorum.
    #[arg(long, short = 'N', group = "quorum")]
    no_initial_controllers: bool,
    /// Initialize a server with this dynamic quorum: id@hostname:port:directory, with commas between.
    #[arg(long, short = 'I', group = "quorum")]
    initial_controllers: Option<String>,
}

pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            // argparse4j: 1 for wrong arguments, 0 for help.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let done = match &parsed.command {
        Command::RandomUuid => tell(&uuid_text(random_uuid())).map(|()| true),
        Command::VersionMapping { release_version } => features::mapping(release_version.as_deref())
            .and_then(|text| tell(text.trim_end()))
            .map(|()| true),
        Command::FeatureDependencies { feature } => feature
            .iter()
            .try_for_each(|feature| tell(features::dependencies(feature)?.trim_end()))
            .map(|()| true),
        Command::Info(arguments) => info(&arguments.config),
        Command::Format(arguments) => format(arguments).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            let _ = writeln!(io::stderr(), "{what}");
            ExitCode::FAILURE
        }
    }
}

fn tell(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| error.to_string())
}

fn load(file: &Path) -> Result<Settings, String> {
    let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
    sources.load().map(|loaded| loaded.settings).map_err(|error| error.to_string())
}

fn directories(settings: &Settings) -> BTreeSet<PathBuf> {
    let storage = settings.storage();
    storage.dirs.into_iter().chain([storage.metadata_dir]).collect()
}

fn format(arguments: &FormatArguments) -> Result<(), String> {
    let settings = load(&arguments.config.config)?;
    check(arguments, &settings)?;
    let users =
        arguments.add_scram.iter().map(|user| add_scram::parse(user)).collect::<Result<Vec<_>, _>>()?;
    let is_formatted = |dir: &PathBuf| MetaProperties::read(&RealFs, dir).is_ok_and(|found| found.is_some());
    let (formatted, fresh): (Vec<_>, Vec<_>) = directories(&settings).into_iter().partition(is_formatted);
    if let Some(first) = formatted.first().filter(|_| !arguments.ignore_formatted) {
        return Err(format!(
            "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the others.",
            first.display()
        ));
    }
    // A container's variables name the cluster; scripts that format with an id of their own mean any id.
    let cluster_id = settings.node().cluster_id.unwrap_or_else(|| arguments.cluster_id.clone());
    if cluster_id != arguments.cluster_id {
        tell(&format!("The configuration says cluster.id={cluster_id}; that is taken."))?;
    }
    let who = Identity { node_id: settings.node().id, cluster_id: Some(cluster_id), fresh_cluster_id: None };
    if fresh.is_empty() {
        tell("All of the log directories are already formatted.")?;
    }
    let is_dynamic = arguments.standalone || arguments.initial_controllers.is_some();
    let metadata_dir = settings.storage().metadata_dir;
    for dir in &fresh {
        let what = match (*dir == metadata_dir, is_dynamic) {
            (false, _) => "data directory",
            (true, false) => "metadata directory",
            (true, true) => "dynamic metadata voter directory",
        };
        tell(&format!("Formatting {what} {} with metadata.version {METADATA_VERSION}.", dir.display()))?;
    }
    // Opening identifies what is new, and refuses what belongs to others.
    Disk::open(Arc::new(RealFs), &settings.storage(), &who).map(drop).map_err(|error| error.to_string())?;
    if users.is_empty() || !fresh.contains(&metadata_dir) {
        return Ok(());
    }
    let what = |error| format!("{}: {error}", metadata_dir.display());
    adopt::write_users(&metadata_dir, METADATA_LEVEL, &users).map_err(what)
}

/// What the settings do not allow (StorageTool.runFormatCommand), and what cannot be done here.
fn check(arguments: &FormatArguments, settings: &Settings) -> Result<(), String> {
    let has_voters = settings.find("controller.quorum.voters").is_some_and(|found| !found.text.is_empty());
    let asks = arguments.standalone || arguments.initial_controllers.is_some();
    if has_voters && asks {
        return Err("You cannot specify controller.quorum.voters and format the node with --initial-controllers or \
                    --standalone. If you want to use dynamic quorum, please remove controller.quorum.voters and \
                    specify controller.quorum.bootstrap.servers instead."
            .to_owned());
    }
    if arguments.standalone && !settings.node().is_controller {
        return Err("You can only use --standalone on a controller.".to_owned());
    }
    if settings.node().is_controller && !has_voters && !asks && !arguments.no_initial_controllers {
        return Err(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the \
                    following: --standalone, --initial-controllers, or --no-initial-controllers."
                .to_owned(),
        );
    }
    let is_other = |version: &String| !METADATA_VERSION.starts_with(version.as_str());
    if let Some(version) = arguments.release_version.as_ref().filter(|version| is_other(version)) {
        return Err(format!("a new cluster begins with {METADATA_VERSION}, not with {version}"));
    }
    match arguments.feature.first() {
        Some(feature) => Err(format!(
            "{feature}: features of a new cluster cannot be chosen; use kafka-features afterwards"
        )),
        None => Ok(()),
    }
}

/// False if there is a problem with the directories (StorageTool.infoCommand).
fn info(file: &Path) -> Result<bool, String> {
    let settings = load(file)?;
    let (mut problems, mut found, mut first) = (Vec::new(), Vec::new(), None::<MetaProperties>);
    for dir in directories(&settings) {
        let shown = dir.display().to_string();
        if !dir.is_dir() {
            let what = if dir.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{shown} {what}"));
            continue;
        }
        found.push(shown.clone());
        match MetaProperties::read(&RealFs, &dir) {
            Ok(None) => problems.push(format!("{shown} is not formatted.")),
            Err(error) => problems.push(format!("Error loading {shown}/meta.properties: {error}")),
            Ok(Some(own)) => match &first {
                Some(first) if first.cluster_id != own.cluster_id => {
                    problems.push("Mismatched cluster IDs between storage directories.".to_owned());
                }
                Some(first) if first.node_id != own.node_id => {
                    problems.push("Mismatched node IDs between storage directories.".to_owned());
                }
                Some(_) => {}
                None => first = Some(own),
            },
        }
    }
    list(&found, "Found log directory:", "Found log directories:")?;
    if let Some(first) = first {
        let directory = first.directory_id.map(|id| format!("directory.id={id}, ")).unwrap_or_default();
        let node = first.node_id.map(|id| format!("node.id={id}, ")).unwrap_or_default();
        let cluster = first.cluster_id.unwrap_or_default();
        tell(&format!("Found metadata: {{cluster.id={cluster}, {directory}{node}version=1}}\n"))?;
    }
    list(&problems, "Found problem:", "Found problems:")?;
    Ok(problems.is_empty())
}

fn list(lines: &[String], one: &str, several: &str) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    tell(if lines.len() == 1 { one } else { several })?;
    lines.iter().try_for_each(|line| tell(&format!("  {line}")))?;
    tell("")
}
