// Validates an XML document (stdin) against an XSD and prints what is wrong with it. The validator is
// libxml2 as WebAssembly, so that no native one is needed.
//
// usage: node validate.js SCHEMA.xsd < DOCUMENT.xml
const fs = require("fs");
const { validateXML } = require("xmllint-wasm");

const file = (fileName, path) => ({ fileName, contents: fs.readFileSync(path, "utf8") });
validateXML({
  xml: [file("document.xml", 0)],
  schema: [file("schema.xsd", process.argv[2])],
}).then((result) => {
  for (const error of result.errors) console.log(error.rawMessage);
  process.exit(result.valid ? 0 : 1);
});
