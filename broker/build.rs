//! Tells the linker to pack relative relocations: unpacked they are 600 KB that every start reads and keeps resident.
//!
//! It must never change what is compiled, only how the result is laid out.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut cargo = io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    // DT_RELR is known to glibc from 2.36 and to musl from 1.2.4; zig's linker does not know the flag.
    let is_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let is_zig = std::env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("zigcc"));
    if is_linux && !is_zig {
        writeln!(cargo, "cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs")?;
    }
    Ok(())
}
