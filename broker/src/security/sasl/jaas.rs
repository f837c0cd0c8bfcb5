//! JAAS: the one-line form of `sasl.jaas.config`, and files of contexts (`JaasConfig`, `JaasContext`).
//!
//! Must never run what it names: a module's class is only compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::security::Flaw;
use crate::settings::SaslSettings;

const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
/// Options that are users of the broker, by their names.
const USER: &str = "user_";

/// `class flag key="value" ... ;`
#[derive(PartialEq, Eq)]
pub(crate) struct Module {
    pub class: String,
    pub options: BTreeMap<String, String>,
}

/// Who may log in by PLAIN: the mechanism's own line, else the file's context of the listener, else that of the server.
pub(super) fn plain_users(settings: &SaslSettings) -> Result<BTreeMap<String, String>, Flaw> {
    let context = format!("{}.KafkaServer", settings.listener.to_lowercase());
    let modules = match (&settings.plain_jaas, &settings.jaas_file) {
        (Some(line), _) => {
            let modules = modules(line).map_err(Flaw::Settings)?;
            if modules.len() != 1 {
                return Err(Flaw::Settings(format!(
                    "JAAS config property contains {} login modules, should be 1 module",
                    modules.len()
                )));
            }
            modules
        }
        (None, Some(path)) => {
            let text = fs::read_to_string(path)
                .map_err(|error| Flaw::Unreadable { path: Path::new(path).to_owned(), error })?;
            let mut contexts = contexts(&text).map_err(|why| Flaw::Store { what: path.clone(), why })?;
            let found = contexts.remove(&context).or_else(|| contexts.remove("KafkaServer"));
            found.ok_or_else(|| Flaw::Settings(missing(&context, settings)))?
        }
        (None, None) => return Err(Flaw::Settings(missing(&context, settings))),
    };
    let users = modules.into_iter().filter(|module| module.class == PLAIN_MODULE);
    let users = users.flat_map(|module| module.options);
    Ok(users.filter_map(|(key, value)| Some((key.strip_prefix(USER)?.to_owned(), value))).collect())
}

fn missing(context: &str, settings: &SaslSettings) -> String {
    format!(
        "Could not find a 'KafkaServer' or '{context}' entry in the JAAS configuration: set \
         listener.name.{}.plain.sasl.jaas.config to {PLAIN_MODULE} required user_NAME=\"PASSWORD\";",
        settings.listener.to_lowercase()
    )
}

/// The modules of one line, with Kafka's words for what is wrong.
pub(crate) fn modules(text: &str) -> Result<Vec<Module>, String> {
    let mut words = Words::of(text)?.into_iter().peekable();
    let mut modules = Vec::new();
    while words.peek().is_some() {
        modules.push(module(&mut words)?);
    }
    if modules.is_empty() {
        return Err("JAAS config property does not contain any login modules".to_owned());
    }
    Ok(modules)
}

/// A file of `name { module; module; };`.
pub(crate) fn contexts(text: &str) -> Result<BTreeMap<String, Vec<Module>>, String> {
    let mut words = Words::of(text)?.into_iter().peekable();
    let mut contexts = BTreeMap::new();
    while let Some(name) = words.next() {
        let Word::Text(name) = name else { return Err("a context has no name".to_owned()) };
        if words.next() != Some(Word::Sign('{')) {
            return Err(format!("the context {name} does not begin with a brace"));
        }
        let mut modules = Vec::new();
        while words.peek() != Some(&Word::Sign('}')) {
            modules.push(module(&mut words)?);
        }
        words.next();
        if words.next() != Some(Word::Sign(';')) {
            return Err(format!("the context {name} does not end with a semi-colon"));
        }
        contexts.insert(name, modules);
    }
    Ok(contexts)
}

fn module(words: &mut impl Iterator<Item = Word>) -> Result<Module, String> {
    let class = match words.next() {
        Some(Word::Text(class)) => class,
        _ => return Err("Login module not specified in JAAS config".to_owned()),
    };
    match words.next() {
        Some(Word::Text(flag)) if is_flag(&flag) => {}
        Some(Word::Text(_)) => return Err("Invalid login module control flag in JAAS config".to_owned()),
        _ => return Err("Login module control flag is not available in the JAAS config".to_owned()),
    }
    let mut options = BTreeMap::new();
    loop {
        let key = match words.next() {
            Some(Word::Sign(';')) => return Ok(Module { class, options }),
            Some(Word::Text(key)) => key,
            _ => return Err("JAAS config entry not terminated by semi-colon".to_owned()),
        };
        match (words.next(), words.next()) {
            (Some(Word::Sign('=')), Some(Word::Text(value))) => options.insert(key, value),
            _ => return Err(format!("Value not specified for key '{key}' in JAAS config")),
        };
    }
}

fn is_flag(text: &str) -> bool {
    ["required", "requisite", "sufficient", "optional"].iter().any(|flag| text.eq_ignore_ascii_case(flag))
}

#[derive(PartialEq, Eq)]
enum Word {
    Text(String),
    Sign(char),
}

struct Words;

impl Words {
    /// As Java's tokenizer is set up there: quotes of both kinds, and comments of both.
    fn of(text: &str) -> Result<Vec<Word>, String> {
        let mut words = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                ';' | '=' | '{' | '}' => words.push(Word::Sign(next)),
                '"' | '\'' => words.push(Word::Text(quoted(next, &mut rest)?)),
                '#' => rest.by_ref().take_while(|each| *each != '\n').for_each(drop),
                '/' if rest.peek() == Some(&'/') => {
                    rest.by_ref().take_while(|each| *each != '\n').for_each(drop)
                }
                '/' if rest.peek() == Some(&'*') => {
                    rest.next();
                    let mut before = ' ';
                    rest.by_ref()
                        .take_while(|each| !(std::mem::replace(&mut before, *each) == '*' && *each == '/'))
                        .for_each(drop);
                }
                _ if next.is_whitespace() || next.is_control() => {}
                _ => {
                    let mut word = String::from(next);
                    while let Some(more) =
                        rest.next_if(|each| !each.is_whitespace() && !";={}\"'".contains(*each))
                    {
                        word.push(more);
                    }
                    words.push(Word::Text(word));
                }
            }
        }
        Ok(words)
    }
}

fn quoted(quote: char, rest: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match rest.next() {
            Some(end) if end == quote => return Ok(text),
            Some('\\') => match rest.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => break,
            },
            Some(other) => text.push(other),
            None => break,
        }
    }
    Err("a quoted value in the JAAS config does not end".to_owned())
}
