//! Generates the emulator's wire types from the service models that AWS publishes in the Python package `botocore`.
//!
//! ```text
//! botocore/data/<service>/<version>/service-2.json.gz ─▶ model ─▶ layout (shape → file) ─▶ emit ─▶ rustfmt ─▶ files
//! ```
//!
//! To update: raise [`source::VERSION`], install that botocore (`pip install botocore==…`) and run
//! `cargo run -p neargate-generator`. `--check` writes nothing and fails if the checked-in files are not what the
//! generator would write.

mod emit;
mod layout;
mod model;
mod names;
mod output;
mod source;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Generates the wire types of the services that Neargate speaks from botocore's service models.
#[derive(Debug, Parser)]
#[command(name = "neargate-generator")]
struct Options {
    /// The directory of the botocore package: the one that holds `__init__.py` and `data/`. If it is not given,
    /// `--python` is asked for it.
    #[arg(long, value_name = "DIR")]
    botocore: Option<PathBuf>,

    /// A Python that has the pinned botocore installed.
    #[arg(long, value_name = "EXE", default_value = "python3")]
    python: PathBuf,

    /// The directory to write, `emulator/src/api/model` of this workspace by default.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../emulator/src/api/model"))]
    out: PathBuf,

    /// Write nothing: fail if the files differ from what would be written.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<()> {
    let Options { botocore, python, out, check } = Options::parse();
    let source = source::Source::open(botocore, &python)?;

    let mut files = output::Files::default();
    for service in layout::SERVICES {
        let model =
            source.model(service).with_context(|| format!("reading the model of {}", service.name))?;
        let layout = layout::Layout::new(service, &model)?;
        emit::service(service, &model, &layout, &mut files)
            .with_context(|| format!("writing {}", service.name))?;
    }
    emit::root(&mut files);
    files.format()?;

    if check { files.check(&out) } else { files.write(&out) }
}
