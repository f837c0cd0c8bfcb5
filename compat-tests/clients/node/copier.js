// The copying of ../README.md with kafkajs.
// It must never count a transaction that was not committed without an error.
'use strict';

const { setTimeout: pause } = require('node:timers/promises');
const { Kafka, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');

const TO_COPY = 5000;
const IN_A_TRANSACTION = 10;
const SESSION_MS = 6_000;
const PATIENCE_MS = 120_000;
// Enough to outlast the restart of a broker.
const RETRY = { retries: 60, initialRetryTime: 50, maxRetryTime: 500 };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const record = (number) => `record ${number}`;

async function original(kafka, name) {
  const admin = kafka.admin();
  await admin.connect();
  const topics = ['original', 'copy'].map((rest) => ({ topic: `${name}-${rest}`, numPartitions: 1 }));
  await admin.createTopics({ topics, waitForLeaders: true });
  await admin.disconnect();
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const messages = Array.from({ length: TO_COPY }, (_, number) => ({ value: record(number), partition: 0 }));
  await producer.send({ topic: `${name}-original`, messages, acks: -1 });
  await producer.disconnect();
}

async function copyAll(kafka, name) {
  let copied = 0;
  while (copied < TO_COPY) {
    copied = await copyUntilItFails(kafka, name);
  }
  await check(kafka, `${name}-copy`);
}

// Gives how far it came. kafkajs does not ask for stable offsets, so an end that is under way has to be over before the group
// is asked where it stands: taking the transactional id over waits for that, and fences whoever had it before.
async function copyUntilItFails(kafka, name) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: `${name}-copier` });
  await producer.connect();
  await (await producer.transaction()).abort();
  const groupId = `${name}-copiers`;
  const reader = kafka.consumer({ groupId, sessionTimeout: SESSION_MS, heartbeatInterval: 500, maxWaitTimeInMs: 200 });
  await reader.connect();
  await reader.subscribe({ topic: `${name}-original`, fromBeginning: true });
  let copied = 0;
  let over;
  const ended = new Promise((resolve) => { over = resolve; });
  const failed = (error) => {
    process.stderr.write(`copies ${copied}: ${error}\n`);
    over();
  };
  reader.on(reader.events.CRASH, ({ payload }) => failed(payload.error));
  await reader.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      for (let at = 0; at < batch.messages.length; at += IN_A_TRANSACTION) {
        if (!isRunning() || isStale()) return;
        const messages = batch.messages.slice(at, at + IN_A_TRANSACTION);
        const next = Number(messages.at(-1).offset) + 1;
        try {
          await copy(producer, name, groupId, messages, next);
        } catch (error) {
          failed(error);
          // What became of it is not known: nothing more is read until another producer has ended it.
          await new Promise(() => {});
        }
        resolveOffset(messages.at(-1).offset);
        copied = next;
        say({ copied });
        if (copied === TO_COPY) over();
        await heartbeat();
      }
    },
  });
  await ended;
  // A reader that hangs in a batch does not stop; it is left behind, and the group with it.
  await Promise.race([reader.disconnect(), pause(1_000)]);
  await Promise.race([producer.disconnect(), pause(1_000)]);
  return copied;
}

async function copy(producer, name, consumerGroupId, messages, next) {
  const transaction = await producer.transaction();
  const copies = messages.map(({ value }) => ({ value, partition: 0 }));
  await transaction.send({ topic: `${name}-copy`, messages: copies, acks: -1 });
  const partitions = [{ partition: 0, offset: String(next) }];
  await transaction.sendOffsets({ consumerGroupId, topics: [{ topic: `${name}-original`, partitions }] });
  await transaction.commit();
}

async function check(kafka, topic) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  await producer.send({ topic, messages: [{ value: 'end', partition: 0 }], acks: -1 });
  await producer.disconnect();
  const reader = kafka.consumer({ groupId: `${topic}-check`, maxWaitTimeInMs: 200 });
  const got = [];
  await reader.connect();
  await reader.subscribe({ topic, fromBeginning: true });
  const deadline = Date.now() + PATIENCE_MS;
  await reader.run({
    autoCommit: false,
    eachMessage: async ({ message }) => { got.push(message.value.toString()); },
  });
  while (!got.includes('end')) {
    if (Date.now() > deadline) throw new Error(`only ${got.length} copies are there`);
    await pause(50);
  }
  await reader.disconnect();
  const wrong = got.findIndex((value, number) => value !== (number < TO_COPY ? record(number) : 'end'));
  if (wrong !== -1 || got.length !== TO_COPY + 1) {
    throw new Error(`copy ${wrong} of ${got.length - 1} is ${got[wrong]}`);
  }
  say({ check: 'exactly once', ok: true });
}

async function main() {
  const [phase, bootstrap, name] = process.argv.slice(2);
  const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: RETRY });
  try {
    await { original, copy: copyAll }[phase](kafka, name);
    say({ client: 'kafkajs', version, phase });
    process.exit(0);
  } catch (error) {
    say({ check: phase, ok: false, detail: String(error) });
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  }
}

main();
