use clap::Parser;
use neargate_provider::options::{Arguments, Options};

fn main() -> anyhow::Result<()> {
    let options = Options::load(Arguments::parse())?;
    println!("{options:?}");
    Ok(())
}
