//! Compiles the sandbox program (`sandbox/src/main.rs`) into one static file for the target of this build, which
//! `runtime::docker` embeds. Plain rustc: the program has no dependency, and so needs no second Cargo.
//! A new migration also requires a new build: `sqlx::migrate!` embeds the folder.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "sandbox/src/main.rs";
    println!("cargo::rerun-if-changed=sandbox/src");
    println!("cargo::rerun-if-changed=src/store/migrations");

    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"));
    if variable("CARGO_CFG_TARGET_OS") != "linux" {
        println!("cargo::error=Neargate runs on Linux: its sandbox program is built for the same target");
        return;
    }
    let output = PathBuf::from(variable("OUT_DIR")).join("neargate-sandbox");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-type=bin", "--crate-name=neargate_sandbox"])
        .args(["--target", &variable("TARGET")])
        .args(["-C", "target-feature=+crt-static"])
        // Static and not position-independent: it needs no relocation at its start and no loader in its image.
        .args(["-C", "relocation-model=static"])
        .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
        .arg("-o")
        .arg(&output)
        .arg(source)
        // The linker that Cargo has configured for this target, if any, as for a cross build.
        .args(std::env::var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")))
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => println!("cargo::error=rustc could not build {source}: {status}"),
        Err(error) => println!("cargo::error=rustc could not be run on {source}: {error}"),
    }
}
