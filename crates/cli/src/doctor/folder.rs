//! The data folder: is it there, is it this role's, and can nobody else read its secrets.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sealwort_pki::Role;

use super::Subject;
use super::report::Report;

/// The role that a data folder says it belongs to.
pub(super) fn role_of(folder: &Path) -> Option<Role> {
    let marked = fs::read_to_string(folder.join(MARKER_FILE)).ok();
    let marked = marked.as_deref().and_then(|text| text.split_whitespace().next()?.parse().ok());
    // Before the first start there is no mark, only the configuration that joining wrote.
    marked.or_else(|| Role::ALL.into_iter().find(|role| crate::settings::file_in(folder, *role).is_file()))
}

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) {
    let folder = subject.folder;
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return report.wrong("folder", format!("{shown} is not a folder"), "name the data folder: --dir DIR");
        }
        Err(error) => {
            return report.wrong("folder", format!("{shown}: {error}"), beginning(subject));
        }
    };
    match role_of(folder) {
        Some(role) if role != subject.role => {
            report.wrong(
                "folder",
                format!("{shown} is the folder of a {role}, not of a {}", subject.role),
                "name the right folder: --dir DIR",
            );
        }
        _ => report.good("folder", shown.to_string()),
    }
    modes(folder, &metadata, report);
}

/// What to do where there is no folder, or nothing in it.
pub(super) fn beginning(subject: &Subject<'_>) -> String {
    let folder = subject.folder.display();
    match subject.role {
        Role::Ca => format!("sealwort ca init --name NAME --dir {folder} --root-dir DIR"),
        _ => format!("sealwort join --invite FILE --dir {folder}"),
    }
}

fn modes(folder: &Path, metadata: &Metadata, report: &mut Report) {
    if metadata.mode() & OTHERS_WRITE != 0 {
        return report.wrong(
            "key files",
            format!("others than the owner may change {}", folder.display()),
            format!("chmod 700 {}", folder.display()),
        );
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return report.wrong(
                "key files",
                format!("{} cannot be read: {error}", folder.display()),
                "run this as the user that the service runs as",
            );
        }
    };
    let secrets = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| is_secret(path));
    let open: Vec<PathBuf> =
        secrets.filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & OTHERS_ANY != 0)).collect();
    if open.is_empty() {
        return report.good("key files", "readable by their owner alone");
    }
    let names: Vec<String> = open.iter().map(|path| path.display().to_string()).collect();
    report.wrong(
        "key files",
        format!("others may read {}", names.join(" and ")),
        format!("chmod 600 {}; if somebody may have read them, revoke and join again", names.join(" ")),
    );
}

fn is_secret(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "key")
        || path.file_name().is_some_and(|name| name == "membership.json")
}

const MARKER_FILE: &str = "role";
const OTHERS_WRITE: u32 = 0o022;
const OTHERS_ANY: u32 = 0o077;
