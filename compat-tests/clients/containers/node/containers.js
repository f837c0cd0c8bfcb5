// Starts the image through Testcontainers' Node module and writes and reads one record.
// Must never know anything of the image but its name.

const { KafkaContainer } = require('@testcontainers/kafka');
const { Kafka, logLevel } = require('kafkajs');

const PORT = 9093;

async function roundTrip(broker) {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: 'greetings', messages: [{ value: 'hello' }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: 'readers' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'greetings', fromBeginning: true });
  const value = await new Promise((resolve, reject) => {
    consumer.run({ eachMessage: async ({ message }) => resolve(message.value.toString()) }).catch(reject);
  });
  await consumer.disconnect();
  if (value !== 'hello') throw new Error(`read ${value}`);
}

async function check(name, container) {
  const started = await container.start();
  try {
    await roundTrip(`${started.getHost()}:${started.getMappedPort(PORT)}`);
  } finally {
    await started.stop();
  }
  console.log('ok', name);
}

(async () => {
  // The tag tells this module what the image is: KRaft from 8 on, ZooKeeper before.
  await check('8', new KafkaContainer(process.argv[2]));
  await check('7', new KafkaContainer(process.argv[3]));
})().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
