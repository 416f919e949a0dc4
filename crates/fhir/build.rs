//! Makes static tables of the vendored R4 definitions (`definitions/README.md`), so that a gateway
//! reads none of them when it starts.

#[path = "build/search_parameters.rs"]
mod search_parameters;
#[path = "build/structures.rs"]
mod structures;

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=definitions");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let definitions = std::fs::read_to_string("definitions/structures.json")?;
    std::fs::write(out.join("structures.rs"), structures::generate(&definitions)?)?;
    let definitions = std::fs::read_to_string("definitions/search-parameters.json")?;
    std::fs::write(out.join("search_parameters.rs"), search_parameters::generate(&definitions)?)?;
    Ok(())
}
