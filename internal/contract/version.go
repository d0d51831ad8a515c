package contract

// Version is the release that the documents describe: the newest one in CHANGELOG.md. Its tag is the same with a v before
// it. A program has the version of its own build, which is this one only if it was built from the tag.
const Version = "0.1.0"
