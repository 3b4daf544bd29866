// Sends lumigo-cli to the local endpoint: its AWS SDK (version 2) does not know AWS_ENDPOINT_URL and takes the host of a
// queue's URL instead. And keeps it from telling its makers about each use. bench/peers.py gives it to node.
const Module = require("module");

const AWS = require(require.resolve("aws-sdk", { paths: [process.env.NODE_MODULES] }));
AWS.config.update({ sqs: { endpoint: process.env.AWS_ENDPOINT_URL } });
AWS.SQS.prototype.buildEndpoint = () => {};

const load = Module._load;
Module._load = function (request, ...rest) {
  if (request === "analytics-node") {
    return class {
      track() {}
    };
  }
  return load.call(this, request, ...rest);
};
