//! Link options of the daemon.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=no-unwind-tables.ld");
    let setting = |name: &str| std::env::var(name).unwrap_or_default();
    if setting("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    // Relative relocations in their packed form (DT_RELR): 400 kB less on flash, position-independent as before.
    // glibc 2.36 (Debian 12) and musl 1.2.4 (OpenWrt 23.05) read it.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // In the profile that is flashed a panic aborts: nothing ever reads the tables for unwinding, which are 620 kB. rustc writes them all
    // the same. Cargo does not tell a build script what a panic does (CARGO_CFG_PANIC is that of the target), so the profile is known
    // by its level.
    if setting("PROFILE") == "release" && setting("OPT_LEVEL") == "z" {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/no-unwind-tables.ld", setting("CARGO_MANIFEST_DIR"));
    }
}
