//! A migration added is a reason to build again: `sqlx::migrate!` embeds the folder.

fn main() {
    println!("cargo:rerun-if-changed=src/store/migrations");
}
