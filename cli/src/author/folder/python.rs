//! The folder of a plugin in Python.

use super::{AsItIs, File, filled};

const FILES: [AsItIs; 13] = [
    ("plugin.py", include_str!("../../../../plugins/template-python/plugin.py")),
    ("test_plugin.py", include_str!("../../../../plugins/template-python/test_plugin.py")),
    ("requirements.txt", include_str!("../../../../plugins/template-python/requirements.txt")),
    (".gitignore", include_str!("../../../../plugins/template-python/gitignore")),
    ("README.md", include_str!("../../../../plugins/template-python/README.md")),
    (
        "headcount_plugin/__init__.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/__init__.py"),
    ),
    (
        "headcount_plugin/component.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/component.py"),
    ),
    (
        "headcount_plugin/events.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/events.py"),
    ),
    (
        "headcount_plugin/failures.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/failures.py"),
    ),
    (
        "headcount_plugin/fake.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/fake.py"),
    ),
    (
        "headcount_plugin/host.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/host.py"),
    ),
    (
        "headcount_plugin/plugin.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/plugin.py"),
    ),
    (
        "headcount_plugin/rows.py",
        include_str!("../../../../plugins/sdk-python/headcount_plugin/rows.py"),
    ),
];

/// Every file of the folder with its text.
pub(super) fn files(name: &str) -> Vec<File> {
    FILES.into_iter().map(|file| filled(file, &[("NAME", name)])).collect()
}
