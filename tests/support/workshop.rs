//! Where the real programs are: npm packages, installed once into the folder of build output.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders of tests that have programs.
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// A folder with the packages and our programs beside them.
pub struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// The folder for these tests, or `None` when there is no Node or the packages cannot be had; why is printed.
    #[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
    pub fn open(tests: &str) -> Option<Self> {
        for program in ["node", "npm"] {
            if let Err(error) = Command::new(program).arg("--version").output() {
                eprintln!("skipped: {program} cannot be run ({error}), so nothing of npm is tried");
                return None;
            }
        }
        let programs = Path::new(TESTS).join(tests).join("programs");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(tests);
        fs::create_dir_all(&folder).expect("a folder for build output");
        // Tests are processes of their own: one installs, the others wait.
        let lock = File::create(folder.join("lock")).expect("a lock file");
        lock.lock().expect("the lock of this folder");
        let manifest = fs::read(programs.join("package.json")).expect("a manifest");
        let installed = folder.join("installed.json");
        if fs::read(&installed).ok().as_deref() != Some(&manifest) {
            fs::write(folder.join("package.json"), &manifest).expect("a manifest");
            let output = Command::new("npm")
                .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&folder)
                .output()
                .expect("npm runs");
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped: the packages cannot be installed: {why}");
                return None;
            }
            fs::write(&installed, &manifest).expect("a note of what is installed");
        }
        for entry in fs::read_dir(&programs).expect("our programs").flatten() {
            if entry.path().extension() == Some(OsStr::new("js")) {
                let copy = folder.join(entry.file_name());
                fs::copy(entry.path(), copy).expect("a copy of our program");
            }
        }
        Some(Self { folder })
    }

    /// A file of the folder.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Node, about to run a program of this folder.
    pub fn node(&self, program: &str) -> Command {
        let mut command = Command::new("node");
        command.current_dir(&self.folder).arg(program);
        command
    }
}
