// Evaluates JSONata: one request in JSON per line of standard input, one answer per line of standard output. An answer
// without a value is undefined. tests/support/jsonata_engines.py passes the path of npm's jsonata to node.
const jsonata = require(process.argv[2]);
const lines = require("readline").createInterface({ input: process.stdin });

// Parsing takes longer than evaluating.
const parsed = new Map();

function parse(text) {
  if (!parsed.has(text)) {
    const expression = jsonata(text);
    expression.registerFunction("parse", (json) => (json === undefined ? undefined : JSON.parse(json)));
    parsed.set(text, expression);
  }
  return parsed.get(text);
}

async function evaluate(text, variables) {
  try {
    const value = await parse(text).evaluate(undefined, variables);
    return typeof value === "function" ? { error: "a function" } : { value };
  } catch (error) {
    return { error: error.code || error.message };
  }
}

async function answerAll() {
  for await (const line of lines) {
    const { expressions, variables } = JSON.parse(line);
    const answers = [];
    for (const text of expressions) {
      answers.push(await evaluate(text, variables));
    }
    process.stdout.write(JSON.stringify(answers) + "\n");
  }
}

answerAll();
