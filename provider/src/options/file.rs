//! The configuration file: the TOML file of the old Fargate provider, with more keys.
//!
//! Every key of `virtual-kubelet/aws-fargate`'s `fargate.toml` is read as it is; the keys that this provider adds have
//! the same style. An unknown key is an error with its line: a misspelt key must not become a default.

use std::{fs, path::Path};

use super::Layer;

/// Why the file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not exist or is not readable.
    #[error("reading the configuration file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system reported.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or value.
    #[error("configuration file {path}, line {line}: {message}")]
    Parse {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Layer, Error> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: name.clone(), source })?;
    parse(&text, &name)
}

/// Parses the file's text; errors call it `name`.
pub fn parse(text: &str, name: &str) -> Result<Layer, Error> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
        Error::Parse { path: name.to_owned(), line, message: error.message().to_owned() }
    })
}
