//! `make lab`: the demo's world, left running to play in.

use std::io::{self, Write};

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::world::World;

/// Builds the world, says how to enter it, and waits for Ctrl-C.
///
/// # Errors
/// When the world cannot be built.
pub fn run() -> Result<()> {
    // Blocked before the first thread exists, so that the signal waits for `wait` below and the lab is taken down in order.
    let mut end = SigSet::empty();
    end.add(Signal::SIGINT);
    end.add(Signal::SIGTERM);
    end.thread_block()?;
    let world = World::build()?;
    say(&text(&world)?)?;
    end.wait()?;
    say("taking the lab down\n")?;
    Ok(())
}

fn text(world: &World) -> Result<String> {
    let mut text = String::from("The lab is up. Enter a host with one of these, in another terminal as root:\n\n");
    for node in world.nodes() {
        let address = node.addresses().first().map(ToString::to_string).unwrap_or_default();
        text += &format!("  ip netns exec {:<20} bash    # {} at {address}\n", node.host.ns.name(), node.host.name);
    }
    let a = world.a.netctl_cmd(&[])?.line();
    text += &format!(
        "\nnetctl of a, b, c (the socket tells which):\n\n  {a} status\n  {a} create-network home --as a\n  {a} invite\n\n\
         The middle of the internet is {}; logs and state are in {}.\nCtrl-C removes everything.\n",
        world.lab.inet().name(),
        world.lab.dir().display()
    );
    Ok(text)
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
