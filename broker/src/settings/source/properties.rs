//! Java's properties syntax (`java.util.Properties.load`): continuation lines, escapes, `=`, `:` or blanks.
//!
//! Must never fail on a file that Java reads.

use super::{BadLine, Line};

/// What to do about a line that cannot be read.
pub const REMEDY: &str = "write name=value; a backslash in a value is written twice";

/// All pairs of a file in their order, a name as often as it stands there; or every bad line.
pub fn parse(text: &str) -> Result<Vec<Line>, Vec<BadLine>> {
    let mut lines = Vec::new();
    let mut bad = Vec::new();
    for (line, logical) in logical_lines(text) {
        let (name, value) = split(&logical);
        match (unescape(name), unescape(value)) {
            (Ok(name), Ok(text)) => lines.push(Line { line, name, text }),
            (Err(what), _) | (_, Err(what)) => bad.push(BadLine { line, what }),
        }
    }
    if bad.is_empty() { Ok(lines) } else { Err(bad) }
}

/// Lines with their continuations joined, each with the number of its first line; comments and blanks left out.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut logical = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in text.split(['\n', '\r']).enumerate() {
        let natural = natural.trim_start_matches(is_blank);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let (first, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            joined.push_str(&natural[..natural.len() - 1]);
            open = Some((first, joined));
        } else {
            joined.push_str(natural);
            logical.push((first, joined));
        }
    }
    logical.extend(open.filter(|(_, joined)| !joined.is_empty()));
    logical
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Divides at the first unescaped `=`, `:` or blank; one `=` or `:` may follow blanks.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .find(|c| {
            let divides = !escaped && (is_blank(c) || c == '=' || c == ':');
            escaped = !escaped && c == '\\';
            divides
        })
        .unwrap_or(line.len());
    let rest = line[end..].trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> Result<String, String> {
    // Surrogates come as two escapes, so the text is gathered in UTF-16 as in Java.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut buffer = [0; 2];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = if c == '\\' {
            match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let unit = Some(&digits)
                        .filter(|digits| {
                            digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
                        })
                        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
                        .ok_or_else(|| {
                            format!("\\u{digits} is no Unicode escape of four hexadecimal digits")
                        })?;
                    units.push(unit);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            }
        } else {
            c
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    String::from_utf16(&units).map_err(|_| "a \\u escape is half of a pair".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        let lines = parse(text).expect("readable");
        lines.into_iter().map(|line| (line.line, line.name, line.text)).collect()
    }

    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, name, text)| (*line, (*name).to_owned(), (*text).to_owned()))
            .collect();
        assert_eq!(pairs(text), expected, "{text:?}");
    }

    #[test]
    fn names_end_at_an_equals_sign_a_colon_or_a_blank() {
        check(
            "a=1\nb:2\nc 3\nd = 4\ne : 5\nf\t=\t6",
            &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "4"), (5, "e", "5"), (6, "f", "6")],
        );
        check("a==1\nb=:2\nurl=http://x:1", &[(1, "a", "=1"), (2, "b", ":2"), (3, "url", "http://x:1")]);
        check("only.a.name\nempty=", &[(1, "only.a.name", ""), (2, "empty", "")]);
    }

    #[test]
    fn comments_and_blank_lines_count_as_lines_but_hold_nothing() {
        check("# one\n\n  ! two\n \t\na=1 # not a comment", &[(5, "a", "1 # not a comment")]);
        check("# a comment is not continued \\\na=1", &[(2, "a", "1")]);
    }

    #[test]
    fn an_odd_number_of_backslashes_continues_a_line() {
        check("a=1,\\\n   2,\\\n\t3\nb=4", &[(1, "a", "1,2,3"), (4, "b", "4")]);
        check("a=1\\\\\nb=2", &[(1, "a", "1\\"), (2, "b", "2")]);
        check("a=1\\", &[(1, "a", "1")]);
        check("a=1\\\n# part of the value", &[(1, "a", "1# part of the value")]);
    }

    #[test]
    fn escapes_are_those_of_java() {
        check("a\\=b\\:c\\ d=\\u00e9\\t\\n\\\\x\\q", &[(1, "a=b:c d", "é\t\n\\xq")]);
        check("smile=\\uD83D\\uDE00", &[(1, "smile", "😀")]);
        let bad = parse("ok=1\nbad=\\u12").expect_err("a short escape");
        assert_eq!(bad[0].line, 2);
    }

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_are_nothing_special() {
        check("\u{feff}a=1\r\nb=2\\\r\n3\r\n", &[(1, "a", "1"), (2, "b", "23")]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\\\u0-9a-f=: #!\n\r\t]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_plain_pair_is_read_back(name in "[a-z][a-z.]{0,20}", text in "[a-zA-Z0-9/:,._-]{0,40}") {
            let lines = parse(&format!("{name}={text}")).expect("readable");
            prop_assert_eq!(&lines[0].name, &name);
            prop_assert_eq!(&lines[0].text, &text);
        }
    }
}
