//! What the process may still do once its sockets are open: CAP_NET_ADMIN and nothing else, for itself and for every program it starts.
//!
//! Capabilities belong to threads, so this must run before the first thread is started.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist, initgroups, setgid, setuid};

/// Why privileges are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The kernel refused a step of the drop.
    #[error("cannot {step}: {reason}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// The kernel's answer.
        reason: String,
    },
    /// The configured user does not exist.
    #[error("user \"{0}\" does not exist")]
    NoSuchUser(String),
}

fn step<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> PrivilegeError {
    move |error| PrivilegeError::Step { step, reason: error.to_string() }
}

/// Whether this process may change interfaces, routes and filters in its network namespace.
#[must_use]
pub fn has_net_admin() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap_or(false)
}

/// Whether children are barred from gaining privileges, for `doctor`.
#[must_use]
pub fn has_no_new_privs() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// The names of the capabilities in force, for `doctor`.
#[must_use]
pub fn effective() -> Vec<String> {
    let mut names = caps::read(None, CapSet::Effective)
        .map(|set| set.into_iter().map(|capability| capability.to_string()).collect::<Vec<_>>())
        .unwrap_or_default();
    names.sort_unstable();
    names
}

/// Gives up everything but CAP_NET_ADMIN, and becomes `user` when one is named. Irrevocable.
///
/// # Errors
/// The first step the kernel refused; the caller must end, since it may be half-way.
pub fn drop_all_but_net_admin(user: Option<&str>) -> Result<(), PrivilegeError> {
    let keep: CapsHashSet = [Capability::CAP_NET_ADMIN].into();
    shrink_bounding_set(&keep)?;
    if let Some(user) = user.map(lookup).transpose()? {
        become_user(&user)?;
    }
    // Inheritable and ambient: `nft`, the one program the daemon starts, needs the same single capability.
    caps::set(None, CapSet::Effective, &keep).map_err(step("lower the effective capabilities"))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(step("lower the permitted capabilities"))?;
    caps::set(None, CapSet::Inheritable, &keep).map_err(step("set the inheritable capabilities"))?;
    caps::set(None, CapSet::Ambient, &keep).map_err(step("set the ambient capabilities"))?;
    prctl::set_no_new_privs().map_err(step("set no_new_privs"))?;
    // Keys are in memory: no core dump, no ptrace by other processes of the same user.
    prctl::set_dumpable(false).map_err(step("forbid core dumps"))
}

fn shrink_bounding_set(keep: &CapsHashSet) -> Result<(), PrivilegeError> {
    // Without CAP_SETPCAP (a service manager gave only CAP_NET_ADMIN) the set cannot shrink; no_new_privs closes the same door.
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        return Ok(());
    }
    let bounding = caps::read(None, CapSet::Bounding).map_err(step("read the bounding set"))?;
    let mut drop = bounding.difference(keep).copied().collect::<Vec<_>>();
    drop.sort_by_key(Capability::index);
    drop.into_iter().try_for_each(|capability| {
        caps::drop(None, CapSet::Bounding, capability).map_err(step("shrink the bounding set"))
    })
}

fn become_user(user: &User) -> Result<(), PrivilegeError> {
    prctl::set_keepcaps(true).map_err(step("keep capabilities over setuid"))?;
    let name = CString::new(user.name.as_str()).map_err(step("use the user's name"))?;
    initgroups(&name, user.gid).map_err(step("set the groups"))?;
    setgid(user.gid).map_err(step("set the group"))?;
    setuid(user.uid).map_err(step("set the user"))?;
    prctl::set_keepcaps(false).map_err(step("clear keepcaps"))
}

fn lookup(name: &str) -> Result<User, PrivilegeError> {
    User::from_name(name).map_err(step("look up the user"))?.ok_or_else(|| PrivilegeError::NoSuchUser(name.to_owned()))
}

/// Gives a file or directory to `user`, or to the own user when none is named, before the drop: without CAP_DAC_OVERRIDE even root cannot
/// write what a former run as another user left.
///
/// # Errors
/// The user does not exist, or the kernel refused.
pub fn give_to(path: &Path, user: Option<&str>) -> Result<(), PrivilegeError> {
    let (uid, gid) = match user.map(lookup).transpose()? {
        Some(user) => (user.uid.as_raw(), user.gid.as_raw()),
        None => (Uid::effective().as_raw(), Gid::effective().as_raw()),
    };
    let owner = std::fs::symlink_metadata(path).map_err(step("read the owner of the state"))?;
    if (owner.uid(), owner.gid()) == (uid, gid) {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid)).map_err(step("change the owner of the state"))
}

/// Gives the group of a file to `group`; `false` when there is no such group.
///
/// # Errors
/// The error of the failed call.
pub fn give_to_group(path: &Path, group: &str) -> io::Result<bool> {
    match Group::from_name(group)? {
        None => Ok(false),
        Some(group) => chown(path, None, Some(group.gid.as_raw())).map(|()| true),
    }
}

/// Who may use the control socket: root, the daemon's own user, and members of `group`.
#[must_use]
pub fn may_control(uid: u32, gid: u32, group: &str) -> bool {
    if uid == 0 || uid == Uid::effective().as_raw() {
        return true;
    }
    let Ok(Some(group)) = Group::from_name(group) else { return false };
    group.gid.as_raw() == gid || is_member(uid, group.gid)
}

fn is_member(uid: u32, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

/// Whether the process runs as root.
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_may_not_use_the_control_socket() {
        assert!(may_control(0, 0, "netflow"));
        assert!(may_control(Uid::effective().as_raw(), 12_345, "no-such-group"));
        assert!(!may_control(54_321, 54_321, "no-such-group"));
        assert!(!may_control(54_321, 54_321, "root"));
    }
}
