// Points lumigo-cli to the local endpoint: its AWS SDK (version 2) doesn't support AWS_ENDPOINT_URL_SQS and uses the host of
// the queue's URL instead. Also disables its usage tracking. bench/peers.py passes this file to node.
const Module = require("module");

const AWS = require(require.resolve("aws-sdk", { paths: [process.env.NODE_MODULES] }));
AWS.config.update({ sqs: { endpoint: process.env.AWS_ENDPOINT_URL_SQS } });
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
