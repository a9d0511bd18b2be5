//! The folder of a plugin in JavaScript.

use super::{AsItIs, File, filled};

const FILES: [AsItIs; 15] = [
    ("plugin.js", include_str!("../../../../plugins/template-js/plugin.js")),
    ("plugin.test.js", include_str!("../../../../plugins/template-js/plugin.test.js")),
    ("package.json", include_str!("../../../../plugins/template-js/package.json")),
    // What npm installs is what the SDK was tested with.
    ("package-lock.json", include_str!("../../../../plugins/template-js/package-lock.json")),
    (".gitignore", include_str!("../../../../plugins/template-js/gitignore")),
    ("sdk/js/index.js", include_str!("../../../../plugins/sdk-js/index.js")),
    ("sdk/js/events.js", include_str!("../../../../plugins/sdk-js/events.js")),
    ("sdk/js/failures.js", include_str!("../../../../plugins/sdk-js/failures.js")),
    ("sdk/js/fake.js", include_str!("../../../../plugins/sdk-js/fake.js")),
    ("sdk/js/guest.js", include_str!("../../../../plugins/sdk-js/guest.js")),
    ("sdk/js/host.js", include_str!("../../../../plugins/sdk-js/host.js")),
    ("sdk/js/rows.js", include_str!("../../../../plugins/sdk-js/rows.js")),
    ("sdk/js/imports.js", include_str!("../../../../plugins/sdk-js/imports.js")),
    ("sdk/js/entry.js", include_str!("../../../../plugins/sdk-js/entry.js")),
    ("sdk/js/entry-http.js", include_str!("../../../../plugins/sdk-js/entry-http.js")),
];
const BUILD: AsItIs = ("sdk/js/build.js", include_str!("../../../../plugins/sdk-js/build.js"));
const README: AsItIs = ("README.md", include_str!("../../../../plugins/template-js/README.md"));

/// Every file of the folder with its text.
pub(super) fn files(name: &str) -> Vec<File> {
    FILES.into_iter().chain([BUILD, README]).map(|file| filled(file, &[("NAME", name)])).collect()
}
