//! Secrets come in by a prompt without echo, a file or stdin, and go out into files of mode 0600. Never by argv.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use crate::failure::{Failure, Local};

/// First characters of every invite token (network-log.md, "Invite token").
pub(crate) const TOKEN_PREFIX: &str = "nfinvite1";

/// Longest token or passphrase read: ten times a token with sixteen relays, and far below what could fill memory.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Group and others: a secret file gives them nothing.
const OTHERS: u32 = 0o077;

/// Refuses a command line with an invite token in it, before anything prints or parses it.
///
/// # Errors
/// Exit 2, without the token in the text.
pub(crate) fn refuse_tokens_in_argv(args: &[std::ffi::OsString]) -> Result<(), Failure> {
    let found = args.iter().skip(1).any(|arg| arg.to_string_lossy().to_ascii_lowercase().contains(TOKEN_PREFIX));
    if found { Err(token_in_argv()) } else { Ok(()) }
}

/// The refusal of a token given as an argument.
pub(crate) fn token_in_argv() -> Failure {
    let text =
        "a token on the command line is refused; every user can read process arguments, and the shell keeps them";
    Failure::new(Local::Usage, text).next("netctl join, and paste the token when asked (or: netctl join --file FILE)")
}

/// The invite token: from `file` (`-` is stdin), else from a prompt on a terminal, else from stdin.
///
/// # Errors
/// Exit 5 / 4 / 1 for files, exit 7 when there is nothing in them.
pub(crate) fn read_token(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let token = read_secret(file, "Invite token (not shown): ")?;
    if token.is_empty() {
        return Err(Failure::new(Local::InvalidInput, "no token given; the input is empty").next("netctl join"));
    }
    Ok(token)
}

/// A secret text without space around it: from `file` (`-` is stdin), else from a prompt on a terminal, else from stdin.
///
/// # Errors
/// Exit 5 / 4 / 1 for files.
pub(crate) fn read_secret(file: Option<&Path>, ask: &str) -> Result<Zeroizing<String>, Failure> {
    let text = match file {
        Some(path) if path != Path::new("-") => {
            let (text, mode) = read_file(path)?;
            if mode & OTHERS != 0 {
                eprintln!(
                    "netctl: warning: {} can be read by others (mode {:04o}); try: chmod 600",
                    path.display(),
                    mode & 0o7777
                );
            }
            text
        }
        None if std::io::stdin().is_terminal() => prompt(ask)?,
        _ => read_stdin()?,
    };
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Asks a person; only `y` and `yes` are consent.
///
/// # Errors
/// Exit 2 without a terminal to ask on.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let text = "nobody to ask; there is no terminal";
        return Err(Failure::new(Local::Usage, text).next("the same command with --yes"));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    // A line of a terminal is at most 4,096 bytes long.
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::file("read", Path::new("stdin"), &error))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The passphrase: first line of `file`, else from a prompt (asked twice when it is a `new` one).
///
/// # Errors
/// Exit 7 when the file can be read by others, or the two entries differ; exit 2 without a terminal to ask on.
pub(crate) fn read_passphrase(file: Option<&Path>, new: bool) -> Result<Zeroizing<String>, Failure> {
    let Some(path) = file else {
        if !std::io::stdin().is_terminal() {
            let text = "no passphrase; there is no terminal to ask on";
            return Err(Failure::new(Local::Usage, text).next("the same command with --passphrase-file FILE"));
        }
        let first = prompt("Passphrase (not shown): ")?;
        if new && *first != *prompt("The same again: ")? {
            return Err(Failure::new(Local::InvalidInput, "the two passphrases differ; nothing was written"));
        }
        return Ok(first);
    };
    let (text, mode) = read_file(path)?;
    if mode & OTHERS != 0 {
        let text =
            format!("passphrase file refused; {} can be read by others (mode {:04o})", path.display(), mode & 0o7777);
        return Err(Failure::new(Local::InvalidInput, text).next(format!("chmod 600 {}", path.display())));
    }
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() {
        return Err(Failure::new(
            Local::InvalidInput,
            format!("no passphrase; the first line of {} is empty", path.display()),
        ));
    }
    Ok(line)
}

/// Writes a secret to a new file of mode 0600, durably; an existing file is never touched.
///
/// # Errors
/// Exit 6 when the file exists, 4 / 5 / 1 as the operating system says. A half-written file is removed.
pub(crate) fn write_new_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::file("write", path, &error).next("another file name"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Best effort: the error told to the user is the first one.
        let _ = std::fs::remove_file(path);
        Failure::file("write", path, &error)
    })
}

/// The text of a file that is no secret, with the same bound as a secret.
///
/// # Errors
/// Exit 5 / 4 / 1 as the operating system says.
pub(crate) fn read_public_file(path: &Path) -> Result<String, Failure> {
    Ok(read_file(path)?.0.to_string())
}

fn prompt(text: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(|error| {
        Failure::new(Local::Failure, format!("cannot ask on this terminal; {error}")).next("--file FILE or stdin")
    })
}

fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    read_limited(std::io::stdin().lock()).map_err(|error| Failure::file("read", Path::new("stdin"), &error))
}

/// The text of a file and its permission bits, both of the same open file.
fn read_file(path: &Path) -> Result<(Zeroizing<String>, u32), Failure> {
    let failure = |error: std::io::Error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(failure)?;
    let meta = file.metadata().map_err(failure)?;
    // A pipe (`--file <(pass show token)`) shows modes of its own that say nothing about who can read it.
    let mode = if meta.is_file() { meta.permissions().mode() } else { meta.mode() & !OTHERS };
    Ok((read_limited(file).map_err(failure)?, mode))
}

fn read_limited(reader: impl Read) -> std::io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)?;
    let invalid = |why| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(invalid("too long for a token or a passphrase"));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        invalid("not UTF-8 text")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pitfall_29_a_token_anywhere_in_argv_is_refused_and_not_repeated() {
        for args in [
            ["netctl", "join", "nfinvite1abc"],
            ["netctl", "--socket", "x=NFINVITE1ABC"],
            ["netctl", "nfinvite1abc", ""],
        ] {
            let args: Vec<std::ffi::OsString> = args.iter().map(Into::into).collect();
            let failure = refuse_tokens_in_argv(&args).unwrap_err();
            assert_eq!(failure.exit(), 2);
            assert!(!failure.to_string().to_lowercase().contains("nfinvite1abc"));
        }
        refuse_tokens_in_argv(&["netctl".into(), "join".into()]).unwrap();
    }

    #[test]
    fn pitfall_29_secret_files_are_0600_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_new_file(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(write_new_file(&path, b"other").unwrap_err().exit(), 6);
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn pitfall_29_a_passphrase_file_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, "correct horse\nsecond line").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read_passphrase(Some(&path), false).unwrap_err().exit(), 7);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*read_passphrase(Some(&path), false).unwrap(), "correct horse");
    }

    #[test]
    fn input_without_an_end_is_cut_off() {
        assert!(read_limited(std::io::repeat(b'x')).is_err());
        assert!(read_limited(&b"\xff"[..]).is_err());
    }
}
