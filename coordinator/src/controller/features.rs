//! Finalized feature levels (KIP-584, KIP-1022): which there are, and how they change.
//!
//! Each broker tells at its registration which levels it supports; of controllers, only the one that decides is asked. Must never finalize a
//! level that it or a registered broker does not know, nor let a broker in that does not know a finalized one. Kafka:
//! `FeatureControlManager`, `ClusterControlManager.processRegistrationFeature`, `Feature`, `MetadataVersion`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::{Ctx, Item, Refusal, fence};
use crate::image::nodes::{FeatureNode, to_json};
use crate::image::{MetadataImage, SupportedFeatures, paths};
use crate::tree::Op;

/// Features of Kafka 4.3 that work here, with the levels that may be finalized. Those that other APIs stand for
/// (share and streams groups) come with these APIs.
pub const SUPPORTED_FEATURES: &[(&str, RangeInclusive<i16>)] = &[
    (ELIGIBLE_REPLICAS, 0..=1),
    ("group.version", 0..=1),
    (METADATA, 7..=30),
    ("transaction.version", 0..=2),
];

const ELIGIBLE_REPLICAS: &str = "eligible.leader.replicas.version";
const METADATA: &str = "metadata.version";
/// `EligibleLeaderReplicasVersion.ELRV_1`: from this metadata version on.
const ELIGIBLE_REPLICAS_NEED: i16 = 23;
/// Metadata versions that changed what the metadata log holds: no downgrade goes past them (`MetadataVersion.didMetadataChange`).
const CHANGED_METADATA: &[i16] = &[7, 8, 11, 13, 14, 15, 17, 19, 23, 30];

/// What is supported of a feature that is not known (`QuorumFeatures.DISABLED`).
const DISABLED: RangeInclusive<i16> = 0..=0;

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// What a broker of this build registers with.
#[must_use]
pub fn supported_features() -> SupportedFeatures {
    SUPPORTED_FEATURES.iter().map(|(name, levels)| ((*name).to_owned(), levels.clone())).collect()
}

/// Whether a broker can work with all finalized levels. One of an earlier version, which tells nothing, is taken in.
///
/// # Errors
/// UNSUPPORTED_VERSION, INVALID_REGISTRATION (`ClusterControlManager.registerBroker`).
pub fn check_features(image: &MetadataImage, supported: &SupportedFeatures) -> Result<(), Refusal> {
    if supported.is_empty() {
        return Ok(());
    }
    if !supported.contains_key(METADATA) {
        let message = format!("Request features do not contain '{METADATA}'");
        return Err(Refusal::new(ResponseError::InvalidRegistration, message));
    }
    let levels = image.features.levels.as_ref();
    let told = supported.keys().map(|name| (name, levels.get(name).copied().unwrap_or(0)));
    let finalized = levels.iter().map(|(name, level)| (name, *level));
    // A cluster that has finalized no metadata version is one of an earlier version.
    for (name, level) in told.chain(finalized).filter(|(name, level)| *level > 0 || *name != METADATA) {
        let range = supported.get(name).unwrap_or(&DISABLED);
        if !range.contains(&level) {
            let message = format!(
                "Unable to register because the broker does not support finalized version {level} of {name}. The broker wants a version \
                 between {} and {}, inclusive.",
                range.start(),
                range.end()
            );
            return Err(Refusal::new(ResponseError::UnsupportedVersion, message));
        }
    }
    Ok(())
}

/// Whether eligible leader replicas are kept (KIP-966).
pub(super) fn keeps_eligible_replicas(image: &MetadataImage) -> bool {
    image.features.levels.get(ELIGIBLE_REPLICAS).is_some_and(|level| *level >= 1)
}

/// Changes all features that are asked for, or none.
pub fn update_features(ctx: &Ctx<'_>, request: &UpdateFeaturesRequest) -> Item<UpdateFeaturesResponse> {
    // Asked for twice, the last counts.
    let asked: BTreeMap<&str, &FeatureUpdateKey> =
        request.feature_updates.iter().map(|update| (update.feature.as_str(), update)).collect();
    let before = ctx.image.features.levels.as_ref();
    let mut proposed = before.clone();
    proposed.extend(asked.iter().map(|(name, update)| ((*name).to_owned(), update.max_version_level)));
    for update in asked.values() {
        if let Err(message) = check(ctx, update, before, &proposed) {
            return Item::answer(refused(&Refusal::new(ResponseError::InvalidUpdateVersion, message)));
        }
    }
    proposed.retain(|_, level| *level > 0);
    let mut ops = Vec::new();
    if !request.validate_only && proposed != *before {
        let node = to_json(&FeatureNode::new(proposed));
        ops = vec![fence(ctx.image), Op::set(paths::FEATURE, node, ctx.image.features.version)];
    }
    Item { ops, result: UpdateFeaturesResponse::default().with_error_message(None) }
}

/// The answer to a request of which nothing was done.
#[must_use]
pub fn refused(refusal: &Refusal) -> UpdateFeaturesResponse {
    let message = "The update failed for all features since the following feature had an error: ".to_owned();
    let refusal = Refusal::new(refusal.code, message + &refusal.message);
    UpdateFeaturesResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}

fn check(
    ctx: &Ctx<'_>,
    update: &FeatureUpdateKey,
    before: &BTreeMap<String, i16>,
    proposed: &BTreeMap<String, i16>,
) -> Result<(), String> {
    let (name, level, kind) = (update.feature.as_str(), update.max_version_level, update.upgrade_type);
    let refuse = |why: &str| Err(format!("Invalid update version {level} for feature {name}. {why}"));
    if ![UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE].contains(&kind) {
        return refuse("The controller does not support the given upgrade type.");
    }
    if level < 0 {
        return refuse("A feature version cannot be less than 0.");
    }
    if let Some(why) = not_supported(ctx, name, level) {
        return refuse(&why);
    }
    let current = before.get(name).copied().unwrap_or(0);
    if level < current && kind == UPGRADE {
        return refuse(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
        );
    }
    if level > current && kind != UPGRADE {
        return refuse("Can't downgrade to a newer version.");
    }
    let metadata = proposed.get(METADATA).copied().unwrap_or(0);
    if name == ELIGIBLE_REPLICAS && level >= 1 && metadata < ELIGIBLE_REPLICAS_NEED {
        return refuse(&format!(
            "{name} could not be set to {level} because it depends on {METADATA} level {ELIGIBLE_REPLICAS_NEED}"
        ));
    }
    if name == METADATA && level < current && CHANGED_METADATA.iter().any(|at| *at > level && *at <= current)
    {
        let why = if kind == UNSAFE_DOWNGRADE {
            "Unsafe metadata downgrade is not supported in this version."
        } else {
            "Refusing to perform the requested downgrade because it might delete metadata information."
        };
        return Err(format!("Unsupported {METADATA} downgrade from {current} to {level}. {why}"));
    }
    Ok(())
}

/// Who does not support a level: this controller, or a registered broker (`FeatureControlManager.reasonNotSupported`).
fn not_supported(ctx: &Ctx<'_>, name: &str, level: i16) -> Option<String> {
    let controller = ctx.image.controller.map_or(-1, |id| id.0);
    let local = SUPPORTED_FEATURES.iter().find(|(known, _)| *known == name).map(|(_, levels)| levels);
    not_in(level, &format!("Local controller {controller}"), local).or_else(|| {
        let mut brokers = ctx.image.brokers.iter();
        brokers.find_map(|(id, broker)| not_in(level, &format!("Broker {}", id.0), broker.features.get(name)))
    })
}

/// `QuorumFeatures.reasonNotSupported`, `VersionRange.toString`
fn not_in(level: i16, who: &str, levels: Option<&RangeInclusive<i16>>) -> Option<String> {
    let levels = levels.unwrap_or(&DISABLED);
    if levels.contains(&level) {
        return None;
    }
    Some(match levels.clone().into_inner() {
        (_, 0) => format!("{who} does not support this feature."),
        (min, max) if min == max => format!("{who} only supports versions {min}"),
        (min, max) => format!("{who} only supports versions {min}-{max}"),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;
    use milena_storage::ids::{BrokerId, Timestamp};

    use super::super::testing::{Stage, registration};
    use super::super::{Registration, register};
    use super::*;

    fn ask(stage: &mut Stage, name: &str, level: i16, kind: i8, validate_only: bool) -> Option<String> {
        let update = FeatureUpdateKey::default()
            .with_feature(StrBytes::from_string(name.to_owned()))
            .with_max_version_level(level)
            .with_upgrade_type(kind);
        let request = UpdateFeaturesRequest::default()
            .with_feature_updates(vec![update])
            .with_validate_only(validate_only);
        let item = update_features(&stage.ctx(), &request);
        let answer = stage.run(vec![item]).remove(0);
        assert_eq!(answer.error_code != 0, answer.error_message.is_some());
        answer.error_message.map(|message| message.to_string())
    }

    fn level(stage: &Stage, name: &str) -> Option<i16> {
        stage.image.features.levels.get(name).copied()
    }

    #[test]
    fn a_cluster_without_features_is_upgraded_step_by_step() {
        let mut stage = Stage::with_brokers(&[1]);
        let said = ask(&mut stage, ELIGIBLE_REPLICAS, 1, UPGRADE, false).unwrap();
        assert!(said.ends_with("because it depends on metadata.version level 23"), "{said}");
        assert_eq!(ask(&mut stage, METADATA, 30, UPGRADE, true), None);
        assert_eq!(level(&stage, METADATA), None, "it was only asked");
        let epoch = stage.image.features.epoch;
        assert_eq!(ask(&mut stage, METADATA, 30, UPGRADE, false), None);
        assert_eq!(ask(&mut stage, ELIGIBLE_REPLICAS, 1, UPGRADE, false), None);
        assert_eq!((level(&stage, METADATA), level(&stage, ELIGIBLE_REPLICAS)), (Some(30), Some(1)));
        assert!(stage.image.features.epoch > epoch);
        assert!(keeps_eligible_replicas(&stage.image));
        assert_eq!(ask(&mut stage, ELIGIBLE_REPLICAS, 0, SAFE_DOWNGRADE, false), None);
        assert_eq!(level(&stage, ELIGIBLE_REPLICAS), None);
    }

    /// Broker 2 comes, and supports these levels.
    fn join(stage: &mut Stage, features: &[(&str, RangeInclusive<i16>)]) -> Result<(), String> {
        let features = features.iter().map(|(name, levels)| ((*name).to_owned(), levels.clone())).collect();
        check_features(&stage.image, &features)
            .map_err(|refusal| format!("{}: {}", refusal.code.code(), refusal.message))?;
        let ops = register(&stage.image, &Registration { features, ..registration(2) }, Timestamp(1));
        stage.commit(ops);
        Ok(())
    }

    #[test]
    fn a_level_that_a_registered_broker_does_not_support_is_not_finalized() {
        let mut stage = Stage::with_brokers(&[1]);
        join(&mut stage, &[(METADATA, 7..=29), ("group.version", 0..=1)]).unwrap();
        for (name, level, expected) in [
            (METADATA, 30, "30 for feature metadata.version. Broker 2 only supports versions 7-29"),
            (
                "transaction.version",
                2,
                "2 for feature transaction.version. Broker 2 does not support this feature.",
            ),
        ] {
            let said = ask(&mut stage, name, level, UPGRADE, false).unwrap();
            assert!(said.ends_with(expected), "{said}");
        }
        assert_eq!(ask(&mut stage, METADATA, 29, UPGRADE, false), None);
        assert_eq!(ask(&mut stage, "group.version", 1, UPGRADE, false), None);
        let leaves = vec![Op::delete(paths::broker(BrokerId(2)), crate::tree::ANY_VERSION)];
        stage.commit(leaves);
        assert_eq!(ask(&mut stage, METADATA, 30, UPGRADE, false), None, "nobody is left who cannot");
    }

    #[test]
    fn a_broker_that_does_not_support_a_finalized_level_is_not_registered() {
        let mut stage = Stage::with_brokers(&[1]);
        assert_eq!(join(&mut stage, &[(METADATA, 1..=6)]), Ok(()), "nothing is finalized yet");
        stage.commit(vec![Op::delete(paths::broker(BrokerId(2)), crate::tree::ANY_VERSION)]);
        assert_eq!(ask(&mut stage, METADATA, 30, UPGRADE, false), None);
        assert_eq!(ask(&mut stage, "group.version", 1, UPGRADE, false), None);
        let unable = |level, name, min, max| {
            Err(format!(
                "35: Unable to register because the broker does not support finalized version {level} of {name}. The broker wants a \
                 version between {min} and {max}, inclusive."
            ))
        };
        let all = (METADATA, 7..=30);
        assert_eq!(join(&mut stage, &[(METADATA, 7..=29)]), unable(30, METADATA, 7, 29));
        assert_eq!(join(&mut stage, std::slice::from_ref(&all)), unable(1, "group.version", 0, 0));
        assert_eq!(
            join(&mut stage, &[all.clone(), ("group.version", 2..=3)]),
            unable(1, "group.version", 2, 3)
        );
        assert_eq!(
            join(&mut stage, &[all.clone(), ("group.version", 0..=1), ("new.version", 1..=2)]),
            unable(0, "new.version", 1, 2)
        );
        assert_eq!(
            join(&mut stage, &[("group.version", 0..=1)]),
            Err("119: Request features do not contain 'metadata.version'".to_owned())
        );
        assert!(check_features(&stage.image, &SupportedFeatures::new()).is_ok(), "one that tells nothing");
        assert!(stage.image.broker(BrokerId(2)).is_none());
        assert_eq!(join(&mut stage, &[all, ("group.version", 0..=2), ("new.version", 0..=2)]), Ok(()));
    }

    #[test]
    fn what_cannot_be_is_refused_in_kafkas_words() {
        let mut stage = Stage::with_brokers(&[1]);
        assert_eq!(ask(&mut stage, METADATA, 30, UPGRADE, false), None);
        assert_eq!(ask(&mut stage, "group.version", 1, UPGRADE, false), None);
        for (name, level, kind, expected) in [
            ("group.version", 2, UPGRADE, "Local controller 1 only supports versions 0-1"),
            ("nothing", 1, UPGRADE, "Local controller 1 does not support this feature."),
            ("group.version", 0, UPGRADE, "setting the upgrade type to either safe or unsafe downgrade."),
            ("transaction.version", 1, SAFE_DOWNGRADE, "Can't downgrade to a newer version."),
            ("group.version", 1, 0, "does not support the given upgrade type."),
            ("group.version", -1, UPGRADE, "cannot be less than 0."),
            (METADATA, 29, SAFE_DOWNGRADE, "might delete metadata information."),
            (METADATA, 29, UNSAFE_DOWNGRADE, "not supported in this version."),
        ] {
            let said = ask(&mut stage, name, level, kind, false).unwrap();
            assert!(said.ends_with(expected), "{said}");
        }
    }
}
