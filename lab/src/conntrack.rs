//! The connection table of a box: how full it is, and how to empty it. Debian has no `conntrack` program by default, so this speaks to
//! the kernel itself (`NETLINK_NETFILTER`, linux/netfilter/nfnetlink_conntrack.h).

use std::fs;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::netns::Netns;

/// `struct nlmsghdr` (16 bytes) and `struct nfgenmsg` (4): "delete all connections", with an acknowledgement.
const FLUSH: [u8; 20] = {
    // Length; type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE; flags = NLM_F_REQUEST | NLM_F_ACK; sequence 1; port 0;
    // family 0 (both), version 0, resource 0. Little endian is the machine's order on every Debian architecture the lab runs on.
    let mut message = [0; 20];
    message[0] = 20;
    message[4] = 2;
    message[5] = 1;
    message[6] = 5;
    message[8] = 1;
    message
};

/// Forgets every connection in `ns`.
///
/// # Errors
/// When the kernel has no conntrack over netlink (CONFIG_NF_CT_NETLINK) or refuses.
pub fn flush(ns: &Netns) -> Result<()> {
    ns.within(|| -> Result<()> {
        let kernel =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)
                .context("kernel feature missing: netfilter over netlink (CONFIG_NF_CT_NETLINK)")?;
        send(kernel.as_raw_fd(), &FLUSH, MsgFlags::empty())?;
        let mut answer = [0; 512];
        let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // An acknowledgement is `struct nlmsgerr`: the error number follows the header, 0 is success.
        let verdict = answer.get(16..20).filter(|_| length >= 20).context("the kernel's answer is cut off")?;
        ensure!(verdict == [0; 4], "the kernel does not flush its connections: {verdict:?}");
        Ok(())
    })?
}

/// Connections tracked in `ns` that are alive. The kernel's own counter has those as well whose time is over and which its collector has
/// not come by yet; listing them leaves them out.
///
/// # Errors
/// When the kernel does not say.
pub fn count(ns: &Netns) -> Result<u32> {
    // Not /proc/net: that is the namespace of the process, and `within` moves one thread.
    let path = "/proc/thread-self/net/nf_conntrack";
    let text = ns.within(|| fs::read_to_string(path))?.with_context(|| format!("cannot read {path}"))?;
    Ok(u32::try_from(text.lines().count())?)
}
