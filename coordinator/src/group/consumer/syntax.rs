//! What is wrong with a pattern, in RE2's words: that is what Kafka's coordinator compiles patterns with.
//!
//! Must never let a pattern through that RE2 refuses, as a group could then not go on at a Kafka broker. What RE2 takes and
//! the regex crate reads otherwise (set operations in classes) is read as the crate does.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    Ast, Error, ErrorKind, Flag, FlagsItemKind, GroupKind, RepetitionKind, RepetitionRange,
};
use regex_syntax::ast::{Repetition, Visitor, visit};

/// RE2's bound for counted repetitions.
const REPEAT_MAX: u32 = 1_000;

const NESTED: &str = "invalid nested repetition operator";
const REPEAT: &str = "invalid repeat count";
const PERL: &str = "invalid or unsupported Perl syntax";

/// # Errors
/// RE2's description of the first fault.
pub(super) fn check(pattern: &str) -> Result<(), &'static str> {
    let ast = Parser::new().parse(pattern).map_err(|error| describe(&error))?;
    visit(&ast, Strict)
}

/// `PatternSyntaxException.getDescription` of RE2/J.
fn describe(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ClassUnclosed => "missing closing ]",
        ErrorKind::GroupUnclosed => "missing closing )",
        ErrorKind::GroupUnopened => "regexp/syntax: internal error",
        ErrorKind::RepetitionMissing => "missing argument to repetition operator",
        ErrorKind::GroupNameEmpty | ErrorKind::GroupNameInvalid | ErrorKind::GroupNameUnexpectedEof => {
            "invalid named capture"
        }
        ErrorKind::GroupNameDuplicate { .. } => "duplicate capture group name",
        ErrorKind::RepetitionCountInvalid
        | ErrorKind::RepetitionCountDecimalEmpty
        | ErrorKind::RepetitionCountUnclosed
        | ErrorKind::DecimalInvalid
        | ErrorKind::DecimalEmpty => REPEAT,
        ErrorKind::EscapeUnexpectedEof => "trailing backslash at end of expression",
        ErrorKind::EscapeUnrecognized
        | ErrorKind::UnsupportedBackreference
        | ErrorKind::ClassEscapeInvalid
        | ErrorKind::EscapeHexEmpty
        | ErrorKind::EscapeHexInvalid
        | ErrorKind::EscapeHexInvalidDigit => "invalid escape sequence",
        ErrorKind::ClassRangeInvalid | ErrorKind::ClassRangeLiteral | ErrorKind::UnicodeClassInvalid => {
            "invalid character class range"
        }
        ErrorKind::NestLimitExceeded(_) => NESTED,
        _ => PERL,
    }
}

/// Refuses what the crate is more lenient with.
struct Strict;

impl Visitor for Strict {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), &'static str> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), &'static str> {
        match ast {
            Ast::Repetition(repetition) => check_repetition(repetition),
            Ast::Flags(flags) => check_flags(flags.flags.items.iter().map(|item| &item.kind)),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) => check_flags(flags.items.iter().map(|item| &item.kind)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn check_repetition(repetition: &Repetition) -> Result<(), &'static str> {
    if matches!(&*repetition.ast, Ast::Repetition(_)) {
        return Err(NESTED);
    }
    let most = match repetition.op.kind {
        RepetitionKind::Range(RepetitionRange::Exactly(count) | RepetitionRange::AtLeast(count)) => count,
        RepetitionKind::Range(RepetitionRange::Bounded(_, most)) => most,
        _ => 0,
    };
    if most > REPEAT_MAX { Err(REPEAT) } else { Ok(()) }
}

fn check_flags<'a>(mut items: impl Iterator<Item = &'a FlagsItemKind>) -> Result<(), &'static str> {
    let foreign = |item: &FlagsItemKind| {
        matches!(item, FlagsItemKind::Flag(Flag::IgnoreWhitespace | Flag::Unicode | Flag::CRLF))
    };
    if items.any(foreign) { Err(PERL) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::check;

    // Expected: what RE2/J of Kafka 4.3.1 says.
    #[test]
    fn faults_are_told_in_re2s_words() {
        for (pattern, fault) in [
            ("[", "missing closing ]"),
            ("a)(b", "regexp/syntax: internal error"),
            ("(", "missing closing )"),
            ("*", "missing argument to repetition operator"),
            ("+a", "missing argument to repetition operator"),
            ("(?P<a", "invalid named capture"),
            ("a{1001}", "invalid repeat count"),
            ("a{2,1}", "invalid repeat count"),
            ("a{1000}{1000}{1000}", "invalid nested repetition operator"),
            ("a**", "invalid nested repetition operator"),
            ("a++", "invalid nested repetition operator"),
            ("\\", "trailing backslash at end of expression"),
            ("[z-a]", "invalid character class range"),
            ("(?<n>a)(?<n>b)", "duplicate capture group name"),
            ("\\q", "invalid escape sequence"),
            ("\\8", "invalid escape sequence"),
            ("(?z)", "invalid or unsupported Perl syntax"),
            ("(?x)a", "invalid or unsupported Perl syntax"),
            ("(?=a)", "invalid or unsupported Perl syntax"),
        ] {
            assert_eq!(check(pattern), Err(fault), "{pattern}");
        }
        for pattern in ["", "a.*", "(?i:fo+)|b{2,5}?", "(?:a*)*", "[a-z\\d]"] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }
}
