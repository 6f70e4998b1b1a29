//! Link options of the daemon.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Relative relocations in their packed form (DT_RELR): 400 kB less on flash, position-independent as before.
    // glibc 2.36 (Debian 12) and musl 1.2.4 (OpenWrt 23.05) read it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
