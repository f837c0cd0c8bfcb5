//! Which paths a node may have (ZooKeeper's `PathUtils`).
//!
//! Must never touch the tree.

/// Why a path is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("path is empty")]
    Empty,
    #[error("path does not begin with /")]
    Relative,
    #[error("path ends with /")]
    TrailingSlash,
    #[error("path has an empty part")]
    EmptyPart,
    #[error("path has a part . or ..")]
    RelativePart,
    #[error("path has a character that is not allowed")]
    Character,
}

/// Checks a path by ZooKeeper's rules.
pub fn validate(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::Relative) };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for part in rest.split('/') {
        match part {
            "" => return Err(PathError::EmptyPart),
            "." | ".." => return Err(PathError::RelativePart),
            _ if part.chars().any(is_forbidden) => return Err(PathError::Character),
            _ => {}
        }
    }
    Ok(())
}

/// The path of a node's parent; none for the root.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        (_, "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

/// ZooKeeper judges UTF-16 units, and its range of surrogates and private use also covers everything beyond 0xffff.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_zookeeper_accepts() {
        for path in ["/", "/a", "/a/b", "/.a", "/a..b", "/a b", "/a/.../b", "/é", "/\u{fdcf}", "/a./b"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn names_the_broken_rule() {
        for (path, error) in [
            ("", PathError::Empty),
            ("a", PathError::Relative),
            ("/a/", PathError::TrailingSlash),
            ("//", PathError::TrailingSlash),
            ("/a//b", PathError::EmptyPart),
            ("/a/./b", PathError::RelativePart),
            ("/..", PathError::RelativePart),
            ("/a\0", PathError::Character),
            ("/a\u{1}", PathError::Character),
            ("/a\u{7f}", PathError::Character),
            ("/\u{e000}", PathError::Character),
            ("/\u{fff0}", PathError::Character),
            ("/\u{1f600}", PathError::Character),
        ] {
            assert_eq!(validate(path), Err(error), "{path:?}");
        }
    }

    #[test]
    fn the_parent_is_the_path_up_to_the_last_slash() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
    }
}
