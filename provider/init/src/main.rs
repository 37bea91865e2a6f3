//! `neargate-provider-init`: writes what its arguments specify, logs it, and ends.

use std::{env, fs, path::Path, process::ExitCode};

use neargate_provider_init::{HOSTNAME, Plan, ResolvConf, addresses, files};

fn main() -> ExitCode {
    match run() {
        Ok(written) => {
            for line in written {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("neargate-provider-init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<String>, String> {
    let plan = Plan::parse(env::args().skip(1))?;
    let hostname = env::var(HOSTNAME).map_err(|error| format!("the variable {HOSTNAME}: {error}"))?;
    let task = ResolvConf::parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let addresses = addresses(&task.with(plan.resolv_conf.clone()).nameservers);
    files::write(Path::new("/etc"), &plan, &hostname, &addresses).map_err(|error| error.to_string())
}
