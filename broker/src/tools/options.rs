//! Options as the library joptsimple reads them for Kafka's tools: `--name value`, `--name=value`, `-name value`.
//!
//! Must never guess: tools of Kafka 4.3.1 do not accept abbreviations (`CommandDefaultOptions`).

use std::fmt::Write as _;

/// One option that a tool knows.
pub(super) struct Spec {
    pub name: &'static str,
    pub takes: Takes,
    pub help: &'static str,
}

/// What follows an option; the text describes it.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Value(&'static str),
    /// A value may follow.
    Perhaps(&'static str),
}

impl Spec {
    pub(super) const fn flag(name: &'static str, help: &'static str) -> Self {
        Self { name, takes: Takes::Nothing, help }
    }

    pub(super) const fn value(name: &'static str, what: &'static str, help: &'static str) -> Self {
        Self { name, takes: Takes::Value(what), help }
    }

    pub(super) const fn perhaps(name: &'static str, what: &'static str, help: &'static str) -> Self {
        Self { name, takes: Takes::Perhaps(what), help }
    }
}

const HELP: Spec = Spec::flag("help", "Print usage information.");
const VERSION: Spec = Spec::flag("version", "Display Kafka version.");

/// Options that cannot be read: the exception of the library, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub class: &'static str,
    pub message: String,
}

/// The options of one call.
pub(super) struct Options {
    specs: &'static [Spec],
    given: Vec<(&'static str, Option<String>)>,
    pub is_empty: bool,
    /// All of it, with a space between words.
    pub line: String,
}

/// How a tool ends other than well.
#[derive(Debug)]
pub(super) enum Exit {
    /// The message and the usage go to stderr; also for `--help`, as in Kafka.
    Usage(String),
    /// The message goes to stderr.
    Failed(String),
    /// Everything was said already.
    Silent,
    Version,
}

impl Options {
    /// `arguments` are those behind the program's name.
    pub(super) fn parse(specs: &'static [Spec], arguments: &[String]) -> Result<Self, Unread> {
        let (is_empty, line) = (arguments.is_empty(), arguments.join(" "));
        let mut options = Self { specs, given: Vec::new(), is_empty, line };
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                break;
            }
            let is_long = argument.starts_with("--");
            let Some(body) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                continue;
            };
            if body.is_empty() {
                continue;
            }
            let (name, attached) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned()).filter(|value| !value.is_empty())),
                None => (body, None),
            };
            let Some(spec) = options.spec(name) else {
                // A group of short options names the first that is unknown, and no tool has short options.
                let unknown =
                    if is_long { name } else { &name[..name.chars().next().map_or(0, char::len_utf8)] };
                let class = "joptsimple.UnrecognizedOptionException";
                return Err(Unread { class, message: format!("{unknown} is not a recognized option") });
            };
            let value = match spec.takes {
                Takes::Nothing => None,
                Takes::Value(_) => match attached.or_else(|| rest.next().cloned()) {
                    Some(value) => Some(value),
                    None => {
                        let class = "joptsimple.OptionMissingRequiredArgumentException";
                        return Err(Unread { class, message: format!("Option {name} requires an argument") });
                    }
                },
                Takes::Perhaps(_) => {
                    attached.or_else(|| rest.next_if(|next| !next.starts_with('-')).cloned())
                }
            };
            options.given.push((spec.name, value));
        }
        Ok(options)
    }

    fn spec(&self, name: &str) -> Option<&'static Spec> {
        self.specs.iter().chain([&HELP, &VERSION]).find(|spec| spec.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        debug_assert!(self.spec(name).is_some(), "an option of this tool: {name}");
        self.given.iter().any(|(given, _)| *given == name)
    }

    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.given.iter().filter(|(given, _)| *given == name);
        named.filter_map(|(_, value)| value.as_deref()).collect()
    }

    /// The values of several options, in the order of the command line; an option without one counts as an empty one.
    pub(super) fn in_order(&self, names: &[&str]) -> Vec<&str> {
        let named = self.given.iter().filter(|(given, _)| names.contains(given));
        named.map(|(_, value)| value.as_deref().unwrap_or_default()).collect()
    }

    /// The one value of an option.
    pub(super) fn value(&self, name: &str) -> Result<Option<&str>, String> {
        match self.values(name)[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(format!("Found multiple arguments for option {name}, but you asked for only one")),
        }
    }

    /// The one value of an option that is a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        let parsed = text.parse().map_err(|_| format!("Cannot parse argument '{text}' of option {name}"));
        parsed.map(Some)
    }

    /// Ends with the usage if it was asked for or nothing was given, and with the version if that was asked for
    /// (`CommandLineUtils.maybePrintHelpOrVersion`).
    pub(super) fn help_or_version(&self, about: &str) -> Result<(), Exit> {
        if self.is_empty || self.has("help") {
            return Err(Exit::Usage(about.to_owned()));
        }
        if self.has("version") { Err(Exit::Version) } else { Ok(()) }
    }

    /// Each of these must be there.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), Exit> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(Exit::Usage(format!("Missing required argument \"[{name}]\""))),
            None => Ok(()),
        }
    }

    /// None of the others may be there if `used` is.
    pub(super) fn refuse_with(&self, used: &str, others: &[&str]) -> Result<(), Exit> {
        match others.iter().find(|other| self.has(used) && self.has(other)) {
            Some(other) => {
                Err(Exit::Usage(format!("Option \"[{used}]\" can't be used with option \"[{other}]\"")))
            }
            None => Ok(()),
        }
    }

    /// What can be asked of a tool.
    pub(super) fn usage(specs: &'static [Spec]) -> String {
        let mut rows: Vec<(String, &str)> = specs.iter().chain([&HELP, &VERSION]).map(usage_of).collect();
        rows.sort();
        let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0).min(38);
        let mut text = format!(
            "{:width$}  Description\n{:-<6}{:gap$}  -----------\n",
            "Option",
            "",
            "",
            gap = width - 6
        );
        for (left, help) in rows {
            let mut lines = folded(help, 78 - width).into_iter();
            let first = lines.next().unwrap_or_default();
            let _ = writeln!(text, "{left:width$}  {first}");
            for line in lines {
                let _ = writeln!(text, "{:width$}    {line}", "");
            }
        }
        text
    }
}

fn usage_of(spec: &'static Spec) -> (String, &'static str) {
    let left = match spec.takes {
        Takes::Nothing => format!("--{}", spec.name),
        Takes::Value(what) => format!("--{} <{what}>", spec.name),
        Takes::Perhaps(what) => format!("--{} [{what}]", spec.name),
    };
    (left, spec.help)
}

/// Broken at spaces.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("it begins with one");
        if !last.is_empty() && last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            let gap = if last.is_empty() { "" } else { " " };
            let _ = write!(last, "{gap}{word}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        Spec::flag("list", "Lists."),
        Spec::value("topic", "topic", "A topic."),
        Spec::value("partitions", "count", "How many."),
        Spec::perhaps("codec", "name", "A codec."),
    ];

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Options::parse(SPECS, &words).map_err(|unread| unread.message)
    }

    #[test]
    fn values_follow_or_are_attached() {
        for line in ["--topic a --list", "--topic=a --list", "-topic a -list", "x --topic a --list y"] {
            let options = parse(line).expect("good options");
            assert_eq!((options.value("topic"), options.has("list")), (Ok(Some("a")), true), "{line}");
        }
        let dashed = parse("--topic --list").expect("a value may look like an option");
        assert_eq!((dashed.value("topic"), dashed.has("list")), (Ok(Some("--list")), false));
    }

    #[test]
    fn a_value_may_be_left_out_where_that_means_something() {
        let options = parse("--codec --list").expect("good options");
        assert_eq!(
            (options.value("codec"), options.has("codec"), options.has("list")),
            (Ok(None), true, true)
        );
        assert_eq!(parse("--codec lz4").expect("good options").value("codec"), Ok(Some("lz4")));
    }

    #[test]
    fn wrong_options_are_refused_in_joptsimples_words() {
        let refused = |line| parse(line).err();
        assert_eq!(refused("--top a").as_deref(), Some("top is not a recognized option"));
        assert_eq!(refused("-xy").as_deref(), Some("x is not a recognized option"));
        assert_eq!(refused("--topic").as_deref(), Some("Option topic requires an argument"));
        let twice = parse("--topic a --topic b --partitions x").expect("each is fine");
        let told = "Found multiple arguments for option topic, but you asked for only one";
        assert_eq!(twice.value("topic"), Err(told.to_owned()));
        let told = "Cannot parse argument 'x' of option partitions";
        assert_eq!(twice.number::<i32>("partitions"), Err(told.to_owned()));
    }

    #[test]
    fn the_usage_names_every_option() {
        let usage = Options::usage(SPECS);
        let wanted =
            ["--codec [name]", "--help", "--list", "--partitions <count>", "--topic <topic>", "--version"];
        let found: Vec<&str> = usage.lines().skip(2).map(|line| line[..22].trim()).collect();
        assert_eq!(found, wanted);
    }
}
