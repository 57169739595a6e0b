//! Compiles our own minimal `.proto` files without `protoc`: protox reads them, prost writes the types into `OUT_DIR`.
//! Lists the runbooks, so that the pages can show what `runbook_url` of the shipped rules leads to.

use std::fmt::Write;
use std::path::Path;

const RUNBOOKS: &str = "docs/runbooks";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/remote_write_v1.proto", "proto/remote_write_v2.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    runbooks()
}

/// `[("Alert", include_str!("…/Alert.md")), …]`, sorted.
fn runbooks() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={RUNBOOKS}");
    let root = std::env::var("CARGO_MANIFEST_DIR")?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(RUNBOOKS)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "md")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            && name != "README"
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let mut list = String::from("&[\n");
    for name in names {
        let path = Path::new(&root).join(RUNBOOKS).join(format!("{name}.md"));
        let path = path.to_str().ok_or("a path that is no text")?;
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push(']');
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("runbooks.rs"), list)?;
    Ok(())
}
