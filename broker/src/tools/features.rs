//! `version-mapping` and `feature-dependencies` of `kafka-storage`: which features go with which release (Feature and
//! MetadataVersion of Kafka 4.3.1).
//!
//! Must never say anything of what this cluster has: it is a table.

use std::fmt::Write as _;

/// The level of the first of `RELEASES`.
const FIRST_LEVEL: i16 = 7;
/// Metadata versions by their levels; the last one is not for production yet.
const RELEASES: [&str; 25] = [
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0",
    "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2",
    "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0", "4.4-IV0",
];
const LATEST: &str = "4.3-IV0";

/// A feature, and for each of its levels above 0 the metadata version that a new cluster has it from.
const FEATURES: [(&str, &[&str]); 6] = [
    ("kraft.version", &["3.9-IV0"]),
    ("transaction.version", &["4.0-IV2", "4.0-IV2"]),
    ("group.version", &["4.0-IV0"]),
    ("eligible.leader.replicas.version", &["4.1-IV0"]),
    ("share.version", &["4.2-IV0"]),
    ("streams.version", &["4.2-IV1"]),
];

fn level_of(release: &str) -> Option<i16> {
    let index = RELEASES.iter().position(|known| *known == release)?;
    Some(FIRST_LEVEL + i16::try_from(index).unwrap_or(i16::MAX))
}

fn release_of(level: i16) -> Option<&'static str> {
    RELEASES.get(usize::try_from(level - FIRST_LEVEL).ok()?).copied()
}

/// By the name of a metadata version, or by a release that is out: `4.2`, `4.2.1`.
fn metadata_level(release: &str) -> Result<i16, String> {
    let parts: Vec<&str> = release.split('.').collect();
    let key = if parts.len() <= 2 { release.to_owned() } else { parts[..2].join(".") };
    let of_release = || {
        let is_of = |known: &&&str| known.split('-').next() == Some(&key);
        RELEASES.iter().rfind(is_of).copied().and_then(level_of)
    };
    let latest = level_of(LATEST);
    let found = level_of(&key).or_else(|| of_release().filter(|level| Some(*level) <= latest));
    found.ok_or_else(|| {
        let known = RELEASES.join(", ");
        format!("Unknown metadata.version '{release}'. Supported metadata.version are: {known}")
    })
}

/// The level of each feature in a new cluster of this release, the latest where none is named.
pub(super) fn mapping(release: Option<&str>) -> Result<String, String> {
    let release = release.unwrap_or(LATEST);
    let metadata = metadata_level(release)?;
    let mut text = format!("metadata.version={metadata} ({release})\n");
    for (name, since) in FEATURES {
        let level =
            since.iter().filter(|since| level_of(since).is_some_and(|since| since <= metadata)).count();
        let _ = writeln!(text, "{name}={level}");
    }
    Ok(text)
}

/// What one level of a feature needs: `name=level`.
pub(super) fn dependencies(feature: &str) -> Result<String, String> {
    let (name, text) = feature.split_once('=').ok_or_else(|| {
        let expected = "Expected format: 'feature=version' (e.g. 'group.version=1')";
        format!("Invalid feature format: {feature}. {expected}")
    })?;
    let (name, text) = (name.trim(), text.trim());
    let level: i16 =
        text.parse().map_err(|_| format!("Invalid version format: {text} for feature {name}"))?;
    if name == "metadata.version" {
        let release = release_of(level).ok_or_else(|| format!("Unknown metadata.version {level}"))?;
        return Ok(format!("{name}={level} ({release}) has no dependencies.\n"));
    }
    let Some((_, levels)) = FEATURES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("Unknown feature: {name}"));
    };
    if usize::try_from(level).map_or(true, |level| level > levels.len()) {
        return Err(format!("Feature level {level} is not supported for feature {name}"));
    }
    // The only one that needs anything: eligible leader replicas are in records since then.
    if (name, level) == ("eligible.leader.replicas.version", 1) {
        let needed = "4.0-IV1";
        let metadata = level_of(needed).unwrap_or_default();
        return Ok(format!("{name}={level} requires:\n    metadata.version={metadata} ({needed})\n"));
    }
    Ok(format!("{name}={level} has no dependencies.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_its_features() {
        let all = "metadata.version=30 (4.3-IV0)\nkraft.version=1\ntransaction.version=2\ngroup.version=1\n\
                   eligible.leader.replicas.version=1\nshare.version=1\nstreams.version=1\n";
        assert_eq!(mapping(None).as_deref(), Ok(all));
        let old = mapping(Some("3.9.1")).expect("known");
        assert!(
            old.starts_with("metadata.version=21 (3.9.1)\nkraft.version=1\ntransaction.version=0\n"),
            "{old}"
        );
        assert!(
            mapping(Some("3.3")).expect("known").starts_with("metadata.version=7 (3.3)\nkraft.version=0\n")
        );
        assert!(mapping(Some("4.4-IV0")).is_ok() && mapping(Some("4.4")).is_err(), "it is not out");
        let told = mapping(Some("2.0")).expect_err("older than any");
        assert!(
            told.starts_with("Unknown metadata.version '2.0'. Supported metadata.version are: 3.3-IV3, "),
            "{told}"
        );
    }

    #[test]
    fn a_feature_has_its_dependencies() {
        let check = |feature: &str, wanted: &str| {
            assert_eq!(dependencies(feature).unwrap_or_else(|told| told), wanted, "{feature}");
        };
        check("transaction.version=2", "transaction.version=2 has no dependencies.\n");
        check("metadata.version=20", "metadata.version=20 (3.8-IV0) has no dependencies.\n");
        check("metadata.version=6", "Unknown metadata.version 6");
        check(
            "eligible.leader.replicas.version=1",
            "eligible.leader.replicas.version=1 requires:\n    metadata.version=23 (4.0-IV1)\n",
        );
        check("transaction.version=9", "Feature level 9 is not supported for feature transaction.version");
        check("x=1", "Unknown feature: x");
        check("x=y", "Invalid version format: y for feature x");
    }
}
