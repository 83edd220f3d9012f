//! What a name alone says of a file: that it may hold secrets, is generated, or is not text.

/// Folders that hold version control data or secrets, never content.
pub(super) fn is_never_walked(name: &str) -> bool {
    matches!(
        name,
        ".git"
            | ".hg"
            | ".svn"
            | ".jj"
            | ".ssh"
            | ".gnupg"
            | ".aws"
            | ".kube"
            | ".docker"
            | ".codex"
            | "node_modules"
            | "__pycache__"
    )
}

/// Returns why a file of this name is left out, if it is.
pub(super) fn skip_by_name(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if is_secret(&name, extension) {
        Some("may hold secrets")
    } else if is_generated(&name) {
        Some("generated")
    } else if is_binary(extension) {
        Some("not text")
    } else {
        None
    }
}

fn is_secret(name: &str, extension: &str) -> bool {
    let is_template = ["example", "sample", "template", "dist"].contains(&extension);
    let is_env =
        (name == ".env" || name == ".envrc" || name.starts_with(".env.") || extension == "env")
            && !is_template;
    let is_private_key = extension != "pub"
        && ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"]
            .iter()
            .any(|key| name.starts_with(key));
    let is_key_file = [
        "pem", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "asc", "gpg", "tfstate",
        "tfvars", "ovpn",
    ]
    .contains(&extension);
    let is_credentials = [
        ".netrc",
        ".pgpass",
        ".pypirc",
        ".npmrc",
        ".htpasswd",
        ".git-credentials",
        "credentials",
        "credentials.json",
        "service-account.json",
        ".dockerconfigjson",
        "secrets.yml",
        "secrets.yaml",
        "secrets.json",
        "secrets.toml",
        "auth.json",
        ".credentials.json",
        ".mcp.json",
        "mcp.json",
        ".claude.json",
        "settings.local.json",
    ]
    .contains(&name);
    // What this very program's keys are stored under.
    let is_pepper = extension == "pepper";
    is_env || is_private_key || is_key_file || is_credentials || is_pepper
}

fn is_generated(name: &str) -> bool {
    let is_lock_file = [
        "cargo.lock",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "poetry.lock",
        "uv.lock",
        "pipfile.lock",
        "pdm.lock",
        "composer.lock",
        "gemfile.lock",
        "go.sum",
        "flake.lock",
        "mix.lock",
        "pubspec.lock",
        "podfile.lock",
        "packages.lock.json",
    ]
    .contains(&name);
    is_lock_file
        || [".min.js", ".min.css", ".js.map", ".css.map", ".min.mjs"]
            .iter()
            .any(|end| name.ends_with(end))
}

fn is_binary(extension: &str) -> bool {
    const BINARY: &[&str] = &[
        "7z",
        "a",
        "avi",
        "avif",
        "bin",
        "bmp",
        "br",
        "bz2",
        "class",
        "dat",
        "db",
        "dll",
        "dmg",
        "doc",
        "docx",
        "dylib",
        "eot",
        "exe",
        "flac",
        "gif",
        "gz",
        "heic",
        "icns",
        "ico",
        "iso",
        "jar",
        "jpeg",
        "jpg",
        "lib",
        "mkv",
        "mo",
        "mov",
        "mp3",
        "mp4",
        "mpg",
        "npy",
        "npz",
        "o",
        "obj",
        "odt",
        "ogg",
        "onnx",
        "otf",
        "parquet",
        "pdb",
        "pdf",
        "png",
        "ppt",
        "pptx",
        "pyc",
        "pyd",
        "pyo",
        "rar",
        "rlib",
        "rmeta",
        "safetensors",
        "so",
        "sqlite",
        "sqlite3",
        "tar",
        "tgz",
        "tif",
        "tiff",
        "ttf",
        "wasm",
        "wav",
        "webm",
        "webp",
        "whl",
        "woff",
        "woff2",
        "xls",
        "xlsx",
        "xz",
        "zip",
        "zst",
    ];
    BINARY.binary_search(&extension).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_binary_extensions_is_sorted_for_the_search() {
        assert!(is_binary("7z") && is_binary("zst") && is_binary("png") && !is_binary("rs"));
    }
}
