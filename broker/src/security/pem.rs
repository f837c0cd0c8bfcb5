//! PEM as Kafka's settings hold it: blocks in any order, with text around them, and line breaks that may have become blanks.
//!
//! Must never judge what is in a block (`DefaultSslEngineFactory.PemParser`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One block: `-----BEGIN label-----`, base64, `-----END label-----`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub label: String,
    pub bytes: Vec<u8>,
}

const DASHES: &str = "-----";

/// All blocks, or what is wrong with one.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once(DASHES).ok_or("a PEM block begins and has no name")?;
        let end = format!("-----END {label}{DASHES}");
        let (body, after) =
            body.split_once(end.as_str()).ok_or_else(|| format!("the PEM block {label} does not end"))?;
        // Lines with a colon are headers of older forms (RFC 1421).
        if body.contains("Proc-Type:") {
            return Err(format!("the PEM block {label} is encrypted in OpenSSL's own way; use PKCS#8"));
        }
        // In a properties file the line breaks may have been written out.
        let body = body.replace("\\n", "").replace("\\r", "");
        let packed: String = body.chars().filter(|each| !each.is_whitespace()).collect();
        let bytes = STANDARD
            .decode(packed)
            .map_err(|error| format!("the PEM block {label} is not base64: {error}"))?;
        blocks.push(Block { label: label.to_owned(), bytes });
        rest = after;
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &[u8])]) {
        let found = blocks(text).unwrap_or_else(|what| panic!("{text:?}: {what}"));
        let found: Vec<_> = found.iter().map(|block| (block.label.as_str(), &*block.bytes)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn blocks_are_found_however_their_lines_are_broken() {
        check("", &[]);
        check("no block", &[]);
        let expected: &[(&str, &[u8])] = &[("A", b"hello"), ("B C", b"hi")];
        check(
            "subject=x\n-----BEGIN A-----\naGVs\nbG8=\n-----END A-----\n-----BEGIN B C-----\naGk=\n-----END B C-----",
            expected,
        );
        check(
            "-----BEGIN A----- aGVs bG8= -----END A----- -----BEGIN B C----- aGk= -----END B C-----",
            expected,
        );
        check(
            r"-----BEGIN A-----\naGVs\nbG8=\n-----END A-----\n-----BEGIN B C-----\naGk=\n-----END B C-----",
            expected,
        );
    }

    #[test]
    fn broken_blocks_are_refused() {
        for text in [
            "-----BEGIN A",
            "-----BEGIN A-----aGk=",
            "-----BEGIN A-----aGk=-----END B-----",
            "-----BEGIN A-----!!-----END A-----",
            "-----BEGIN A-----Proc-Type: 4,ENCRYPTED\n\naGk=-----END A-----",
        ] {
            assert!(blocks(text).is_err(), "{text}");
        }
    }
}
