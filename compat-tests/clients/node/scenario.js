// The scenario of ../README.md with kafkajs.
// It must never check anything that README.md does not list.
'use strict';

const { setTimeout: pause } = require('node:timers/promises');
const { isDeepStrictEqual, inspect } = require('node:util');
const kafkajs = require('kafkajs');
const { version } = require('kafkajs/package.json');

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs;
const PATIENCE_MS = 40_000;
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

function plugIn() {
  CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');
  const lz4 = require('lz4-napi');
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: ({ buffer }) => lz4.compressFrame(buffer),
    decompress: (buffer) => lz4.decompressFrame(buffer),
  });
  const zstd = new Promise((resolve) => {
    require('zstd-codec').ZstdCodec.run((codec) => resolve(new codec.Simple()));
  });
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async ({ buffer }) => Buffer.from((await zstd).compress(buffer)),
    decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
  });
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const passed = (check) => say({ check, ok: true });
const TRANSACTIONAL = ['in', 'out'];
const named = (name, rests) => rests.map((rest) => `${name}-${rest}`);
const topics = (name) => named(name, ['shared', 'kept', ...Object.keys(CODECS)]);

function expectEqual(got, wanted, what) {
  if (!isDeepStrictEqual(got, wanted)) {
    throw new Error(`${what}: got ${inspect(got)}, wanted ${inspect(wanted)}`);
  }
}

async function until(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await pause(50);
  }
}

function records(codec) {
  return Array.from({ length: 100 }, (_, number) => {
    let key = Buffer.from(`k${number % 7}`);
    let value = Buffer.from(`${codec} ${number} ${'lorem ipsum '.repeat(20)}`);
    if (number === 50) value = null;
    if (number === 51) key = null;
    if (number === 52) [key, value] = [Buffer.alloc(0), Buffer.alloc(0)];
    if (number === 53) value = Buffer.from(Array.from({ length: 256 }, (__, byte) => byte));
    const headers = { codec: Buffer.from(codec), n: Buffer.from(String(number)) };
    return { key, value, headers, partition: 0 };
  });
}

async function produce(kafka, topic, messages, compression = CompressionTypes.None) {
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  await producer.send({ topic, messages, compression, acks: -1 });
  await producer.disconnect();
}

function consumer(kafka, groupId) {
  return kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 500, maxWaitTimeInMs: 500 });
}

// kafkajs reads only as a member of a group.
async function readAll(kafka, groupId, topic, count) {
  const reader = consumer(kafka, groupId);
  const got = [];
  await reader.connect();
  await reader.subscribe({ topic, fromBeginning: true });
  await reader.run({
    autoCommit: false,
    eachMessage: async ({ message: { key, value, headers } }) => {
      got.push({ key, value, headers, partition: 0 });
    },
  });
  await until(`${count} records of ${topic}`, () => got.length >= count);
  await reader.disconnect();
  return got;
}

// A group member that knows its partitions and keeps what it reads.
class Member {
  constructor(kafka, groupId) {
    this.consumer = consumer(kafka, groupId);
    this.partitions = [];
    this.values = [];
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = Object.values(payload.memberAssignment).flat();
    });
  }

  async start(topic) {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic, fromBeginning: true });
    await this.consumer.run({
      eachMessage: async ({ message }) => {
        this.values.push(message.value.toString());
      },
    });
  }

  async leave() {
    await this.consumer.disconnect();
  }
}

const numbered = (word) => Array.from({ length: 40 }, (_, number) => `${word} ${number}`);
const spread = (values) => values.map((value, number) => ({ value, partition: number % 4 }));

async function group(kafka, name, admin) {
  const topic = `${name}-shared`;
  const members = `${name}-members`;
  const first = new Member(kafka, members);
  const second = new Member(kafka, members);
  try {
    await Promise.all([first.start(topic), second.start(topic)]);
    await until('two partitions each', () => first.partitions.length === 2 && second.partitions.length === 2);
    const before = numbered('before');
    await produce(kafka, topic, spread(before));
    await until('40 records', () => first.values.length + second.values.length >= 40);
    expectEqual([...first.values, ...second.values].sort(), before.sort(), 'the records of both');
    expectEqual([first.values.length, second.values.length], [20, 20], 'the shares');
    passed('two members');

    expectEqual(await isListed(admin, members), true, 'the group is listed');
    passed('list groups');
    const { groups } = await admin.describeGroups([members]);
    expectEqual(groups[0].state, 'Stable', "the group's state");
    expectEqual(groups[0].members.length, 2, "the group's members");
    passed('describe group');

    await first.leave();
    await until('all partitions', () => second.partitions.length === 4);
    const after = numbered('after');
    await produce(kafka, topic, spread(after));
    await until('the next 40 records', () => second.values.length >= 60);
    expectEqual(second.values.slice(20).sort(), after.sort(), 'the records of the one that stayed');
    passed('one member left');
  } finally {
    await first.leave();
    await second.leave();
  }
}

async function isListed(admin, groupId) {
  return (await admin.listGroups()).groups.some((group) => group.groupId === groupId);
}

async function retention(admin, topic) {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }],
  });
  return resources[0].configEntries[0].configValue;
}

async function phase1(kafka, name, bootstrap) {
  const admin = kafka.admin();
  await admin.connect();
  const { brokers } = await admin.describeCluster();
  expectEqual(brokers.map(({ host, port }) => `${host}:${port}`), [bootstrap], 'the brokers');
  passed('cluster');

  const shared = `${name}-shared`;
  const configEntries = [{ name: 'retention.ms', value: '3600000' }];
  const created = topics(name).map((topic) => ({ topic, numPartitions: 1, replicationFactor: 1 }));
  created[0] = { topic: shared, numPartitions: 4, replicationFactor: 1, configEntries };
  await admin.createTopics({ topics: created, waitForLeaders: true });
  const described = await admin.fetchTopicMetadata({ topics: [shared] });
  expectEqual(described.topics[0].partitions.filter(({ leader }) => leader >= 0).length, 4, 'the led partitions');
  passed('create topic');

  expectEqual(await retention(admin, shared), '3600000', 'retention.ms');
  const change = { type: ConfigResourceTypes.TOPIC, name: shared, configEntries: [{ name: 'retention.ms', value: '7200000' }] };
  await admin.alterConfigs({ resources: [change], validateOnly: false });
  await until('the altered retention.ms', async () => (await retention(admin, shared)) === '7200000');
  passed('alter config');

  for (const [codec, compression] of Object.entries(CODECS)) {
    const wanted = records(codec);
    await produce(kafka, `${name}-${codec}`, wanted, compression);
    expectEqual(await readAll(kafka, `${name}-reader-${codec}`, `${name}-${codec}`, 100), wanted, `the records of ${codec}`);
    passed(`codec ${codec}`);
  }

  await group(kafka, name, admin);

  const kept = `${name}-kept`;
  await produce(kafka, kept, Array.from({ length: 10 }, (_, number) => ({ value: `kept ${number}`, partition: 0 })));
  const [{ low, high }] = await admin.fetchTopicOffsets(kept);
  expectEqual([low, high], ['0', '10'], 'the first and last offset');
  passed('list offsets');
  await admin.setOffsets({ groupId: `${name}-keeper`, topic: kept, partitions: [{ partition: 0, offset: '7' }] });
  passed('commit');
  await admin.disconnect();
}

async function phase2(kafka, name) {
  const admin = kafka.admin();
  await admin.connect();
  const keeper = `${name}-keeper`;
  const values = (await readAll(kafka, keeper, `${name}-kept`, 3)).map(({ value }) => value.toString());
  expectEqual(values, ['kept 7', 'kept 8', 'kept 9'], 'the records after the commit');
  passed('resume');
  const [found] = await admin.fetchOffsets({ groupId: keeper, topics: [`${name}-kept`] });
  expectEqual(found.partitions[0].offset, '7', 'the committed offset');
  passed('committed');

  expectEqual(await retention(admin, `${name}-shared`), '7200000', 'retention.ms');
  passed('kept config');
  for (const codec of Object.keys(CODECS)) {
    const got = await readAll(kafka, `${name}-again-${codec}`, `${name}-${codec}`, 100);
    expectEqual(got, records(codec), `the records of ${codec}`);
  }
  passed('kept records');

  await afterRestart(kafka, name);

  await admin.deleteGroups([keeper]);
  expectEqual(await isListed(admin, keeper), false, 'the deleted group is listed');
  passed('delete group');
  await admin.deleteTopics({ topics: [...topics(name), ...named(name, TRANSACTIONAL)] });
  await until('the topics are gone', async () => !(await admin.listTopics()).some((one) => one.startsWith(`${name}-`)));
  passed('delete topics');
  await admin.disconnect();
}

const words = (word, first, end) => Array.from({ length: end - first }, (_, at) => `${word} ${first + at}`);

async function transactional(kafka, transactionalId, settings = {}) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId, ...settings });
  await producer.connect();
  return producer;
}

// Begins a transaction with these values, which have reached the broker at the end.
async function begin(producer, topic, values) {
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: values.map((value) => ({ value, partition: 0 })), acks: -1 });
  return transaction;
}

async function end(kafka, topic, word) {
  await produce(kafka, topic, [{ value: `${word} end`, partition: 0 }]);
}

// The values of a check, up to its last record, for a reader of this isolation.
async function seen(kafka, name, word, readUncommitted) {
  const topic = `${name}-out`;
  const reader = kafka.consumer({ groupId: `${name}-${word}-${readUncommitted}`, readUncommitted, maxWaitTimeInMs: 500 });
  const got = [];
  await reader.connect();
  await reader.subscribe({ topic, fromBeginning: true });
  await reader.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      got.push(message.value.toString());
    },
  });
  await until(`the end of ${word}`, () => got.includes(`${word} end`));
  await reader.disconnect();
  return got.slice(0, got.indexOf(`${word} end`)).filter((value) => value.startsWith(`${word} `));
}

// The type of the error that a call must fail with.
async function refused(what, call) {
  try {
    await call();
  } catch (error) {
    return error.type;
  }
  throw new Error(`${what} is not refused`);
}

async function transactions(kafka, name) {
  const admin = kafka.admin();
  await admin.connect();
  const [source, out] = named(name, TRANSACTIONAL);
  const created = [source, out].map((topic) => ({ topic, numPartitions: 1, replicationFactor: 1 }));
  await admin.createTopics({ topics: created, waitForLeaders: true });
  const producer = await transactional(kafka, `${name}-writer`);
  await (await begin(producer, out, words('plain', 0, 10))).commit();
  await (await begin(producer, out, words('plain', 10, 20))).abort();
  await (await begin(producer, out, words('plain', 20, 30))).commit();
  await end(kafka, out, 'plain');
  const committed = [...words('plain', 0, 10), ...words('plain', 20, 30)];
  expectEqual(await seen(kafka, name, 'plain', false), committed, 'what is committed');
  expectEqual(await seen(kafka, name, 'plain', true), words('plain', 0, 30), 'what is written');
  passed('commit and abort');

  await produce(kafka, source, words('copy', 0, 10).map((value) => ({ value, partition: 0 })));
  await copy(kafka, name, admin, producer, 'abort', '-1');
  await copy(kafka, name, admin, producer, 'commit', '10');
  await end(kafka, out, 'copy');
  expectEqual(await seen(kafka, name, 'copy', false), words('copy', 0, 10), 'the copies');
  passed('offsets in transactions');

  const zombie = await transactional(kafka, `${name}-fenced`);
  const fenced = await begin(zombie, out, ['fenced 0']);
  const heir = await transactional(kafka, `${name}-fenced`);
  const inherited = await begin(heir, out, ['fenced 1']);
  expectEqual(await refused("the zombie's commit", fenced.commit), 'INVALID_PRODUCER_EPOCH', "the zombie's error");
  await inherited.commit();
  await end(kafka, out, 'fenced');
  expectEqual(await seen(kafka, name, 'fenced', false), ['fenced 1'], 'what the heir committed');
  passed('zombie fenced');

  const late = await transactional(kafka, `${name}-late`, { transactionTimeout: 2000 });
  const open = await begin(late, out, ['late 0']);
  await end(kafka, out, 'late');
  expectEqual(await seen(kafka, name, 'late', false), [], 'what is committed in time');
  expectEqual(await refused('the late commit', open.commit), 'INVALID_PRODUCER_EPOCH', 'the error of the late commit');
  passed('time-out');

  const lasting = await transactional(kafka, `${name}-lasting`);
  await (await begin(lasting, out, words('lasting', 0, 5))).commit();
  await begin(lasting, out, words('lasting', 5, 10));
  await admin.disconnect();
}

// Copies ten records in a transaction, after whose end the group's committed offset is the wanted one.
async function copy(kafka, name, admin, producer, close, wanted) {
  const [source, out] = named(name, TRANSACTIONAL);
  const groupId = `${name}-copiers`;
  const reader = consumer(kafka, groupId);
  const got = [];
  let next;
  await reader.connect();
  await reader.subscribe({ topic: source, fromBeginning: true });
  await reader.run({
    autoCommit: false,
    eachMessage: async ({ message: { value, offset } }) => {
      got.push(value.toString());
      next = String(BigInt(offset) + 1n);
    },
  });
  await until('ten records to copy', () => got.length >= 10);
  const transaction = await begin(producer, out, got);
  const offsets = [{ topic: source, partitions: [{ partition: 0, offset: next }] }];
  await transaction.sendOffsets({ consumerGroupId: groupId, topics: offsets });
  await transaction[close]();
  // kafkajs asks for offsets without saying that it would wait for transactions that are being ended.
  await until(`the offset ${wanted} after ${close}`, async () => {
    const [found] = await admin.fetchOffsets({ groupId, topics: [source] });
    return found.partitions[0].offset === wanted;
  });
  await reader.disconnect();
}

async function afterRestart(kafka, name) {
  const out = `${name}-out`;
  const lasting = await transactional(kafka, `${name}-lasting`);
  await (await begin(lasting, out, words('lasting', 10, 15))).commit();
  await end(kafka, out, 'lasting');
  const committed = [...words('lasting', 0, 5), ...words('lasting', 10, 15)];
  expectEqual(await seen(kafka, name, 'lasting', false), committed, 'what is committed');
  expectEqual(await seen(kafka, name, 'lasting', true), words('lasting', 0, 15), 'what is written');
  passed('survives a restart');
}

async function main() {
  const [phase, bootstrap, name] = process.argv.slice(2);
  plugIn();
  const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.ERROR });
  try {
    await { phase1, transactions, phase2 }[phase](kafka, name, bootstrap);
    say({ client: 'kafkajs', version, phase });
    process.exit(0);
  } catch (error) {
    say({ check: phase, ok: false, detail: String(error) });
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  }
}

main();
