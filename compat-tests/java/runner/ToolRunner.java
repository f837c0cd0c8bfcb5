// Runs the main methods of Kafka's command-line tools inside one JVM, one call per connection.
//
// A JVM's start costs more than most tool calls; hundreds of calls in one JVM cost what a few starts would.
// Each call has its own stdin, stdout, stderr and exit code, kept apart by an inheritable thread-local, so that calls
// may run side by side. It must never change what a tool does: tools that call System.exit run in their own process.
//
// Frames in both directions: kind (1 byte), length (4 bytes, big endian), payload.
//   to the runner:   0 = arguments, each ended by a NUL, the main class first; 1 = stdin (empty = end); 2 = stop
//   from the runner: 1 = stdout, 2 = stderr, 3 = exit code (4 bytes), the last frame

import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.TopicCommand;

public final class ToolRunner {
    private static final InheritableThreadLocal<Call> CURRENT = new InheritableThreadLocal<>();

    /** A tool may print a million small pieces; they leave together, soon enough for a test that waits for one. */
    private static final long FLUSH_AFTER_MS = 2;

    private static final ScheduledExecutorService FLUSHER = Executors.newSingleThreadScheduledExecutor();

    public static void main(String[] args) throws Exception {
        PrintStream realOut = System.out;
        InputStream realIn = System.in;
        System.setOut(new PrintStream(new Routed(realOut, 1), false, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new Routed(System.err, 2), false, StandardCharsets.UTF_8));
        System.setIn(new RoutedInput());
        Exit.setExitProcedure((status, message) -> leave(status));
        Exit.setHaltProcedure((status, message) -> leave(status));
        Exit.setShutdownHookAdder((name, hook) -> {
            Call call = CURRENT.get();
            if (call != null) call.hooks.add(hook);
        });
        ServerSocket server = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        realOut.println("port " + server.getLocalPort());
        realOut.flush();
        Thread parent = new Thread(() -> {
            // The test process holds our stdin: its end, however it comes, is ours.
            try {
                while (realIn.read() >= 0) { }
            } catch (IOException ignored) {
                // Same as the end.
            }
            Runtime.getRuntime().halt(0);
        });
        parent.setDaemon(true);
        parent.start();
        while (true) {
            Socket socket = server.accept();
            socket.setTcpNoDelay(true);
            new Thread(() -> serve(socket), "tool-connection").start();
        }
    }

    private static void serve(Socket socket) {
        try (socket) {
            DataInputStream in = new DataInputStream(socket.getInputStream());
            in.readByte();
            String[] words = new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8).split("\0", -1);
            Call call = new Call(new DataOutputStream(new BufferedOutputStream(socket.getOutputStream(), 1 << 16)));
            Thread tool = new Thread(() -> run(call, words[0], Arrays.copyOfRange(words, 1, words.length - 1)), "tool");
            tool.start();
            Thread feeder = new Thread(() -> feed(call, in, tool), "tool-stdin");
            feeder.setDaemon(true);
            feeder.start();
            tool.join();
            for (Runnable hook : call.hooks) {
                runHook(call, hook);
            }
            call.finish();
        } catch (IOException | InterruptedException e) {
            // The test gave up on this call.
        }
    }

    private static void run(Call call, String mainClass, String[] args) {
        CURRENT.set(call);
        int status = 0;
        try {
            ClassLoader tools = new ToolLoader();
            Thread.currentThread().setContextClassLoader(tools);
            Class.forName(mainClass, true, tools).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Left)) {
                e.getCause().printStackTrace();
                status = 1;
            }
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            status = 127;
        }
        System.out.flush();
        System.err.flush();
        call.leaveWith(status);
    }

    /** Passes stdin on; a stop runs the tool's shutdown hooks, as SIGTERM would. */
    private static void feed(Call call, DataInputStream in, Thread tool) {
        try {
            while (true) {
                int kind = in.readByte();
                byte[] payload = in.readNBytes(in.readInt());
                if (kind == 1 && payload.length == 0) {
                    call.stdinEnd.close();
                } else if (kind == 1) {
                    call.stdinEnd.write(payload);
                    call.stdinEnd.flush();
                } else if (kind == 2) {
                    stop(call, tool);
                }
            }
        } catch (IOException e) {
            if (tool.isAlive()) stop(call, tool);
        }
    }

    private static void stop(Call call, Thread tool) {
        call.leaveWith(143);
        List<Runnable> hooks = List.copyOf(call.hooks);
        call.hooks.clear();
        for (Runnable hook : hooks) {
            // A hook may wait for the tool's thread, and the tool for its input.
            new Thread(() -> runHook(call, hook), "tool-hook").start();
        }
        try {
            call.stdinEnd.close();
        } catch (IOException ignored) {
            // The tool does not read any more.
        }
        if (hooks.isEmpty()) tool.interrupt();
    }

    private static void runHook(Call call, Runnable hook) {
        CURRENT.set(call);
        try {
            hook.run();
        } catch (Throwable e) {
            e.printStackTrace();
        }
    }

    private static void leave(int status) {
        Call call = CURRENT.get();
        if (call != null) {
            System.out.flush();
            System.err.flush();
            call.leaveWith(status);
        }
        throw new Left();
    }

    /** The tools count in static fields, so each call has its own copy of their classes (and of nothing else). */
    private static final class ToolLoader extends URLClassLoader {
        private static final URL JAR = TopicCommand.class.getProtectionDomain().getCodeSource().getLocation();

        ToolLoader() {
            super(new URL[] {JAR}, ToolRunner.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (name.startsWith("org.apache.kafka.tools.")) {
                synchronized (getClassLoadingLock(name)) {
                    Class<?> loaded = findLoadedClass(name);
                    if (loaded != null) return loaded;
                    try {
                        return findClass(name);
                    } catch (ClassNotFoundException inAnotherJar) {
                        // The interfaces that the tools share with their plug-ins.
                    }
                }
            }
            return super.loadClass(name, resolve);
        }
    }

    /** Unwinds a tool that asked for the end of its process. */
    private static final class Left extends Error {
        Left() {
            super("exit", null, false, false);
        }
    }

    private static final class Call {
        final DataOutputStream frames;
        final PipedInputStream stdin = new PipedInputStream(1 << 16);
        final PipedOutputStream stdinEnd;
        final List<Runnable> hooks = new CopyOnWriteArrayList<>();
        private Integer status;
        private boolean flushIsDue;

        Call(DataOutputStream frames) throws IOException {
            this.frames = frames;
            this.stdinEnd = new PipedOutputStream(stdin);
        }

        /** The first exit code counts: later ones come from the unwinding. */
        synchronized void leaveWith(int code) {
            if (status == null) status = code;
        }

        void send(int kind, byte[] bytes, int offset, int length) throws IOException {
            synchronized (frames) {
                frames.writeByte(kind);
                frames.writeInt(length);
                frames.write(bytes, offset, length);
                if (!flushIsDue) {
                    flushIsDue = true;
                    FLUSHER.schedule(this::flush, FLUSH_AFTER_MS, TimeUnit.MILLISECONDS);
                }
            }
        }

        void flush() {
            synchronized (frames) {
                flushIsDue = false;
                try {
                    frames.flush();
                } catch (IOException ignored) {
                    // The test gave up on this call.
                }
            }
        }

        synchronized void finish() throws IOException {
            int code = status == null ? 0 : status;
            send(3, new byte[] {(byte) (code >> 24), (byte) (code >> 16), (byte) (code >> 8), (byte) code}, 0, 4);
            flush();
        }
    }

    /** Writes to the stream of the call that the thread belongs to. */
    private static final class Routed extends OutputStream {
        private final OutputStream real;
        private final int kind;

        Routed(OutputStream real, int kind) {
            this.real = real;
            this.kind = kind;
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            Call call = CURRENT.get();
            if (call == null) {
                real.write(bytes, offset, length);
            } else {
                call.send(kind, bytes, offset, length);
            }
        }

        @Override
        public void flush() throws IOException {
            if (CURRENT.get() == null) real.flush();
        }
    }

    private static final class RoutedInput extends InputStream {
        private static InputStream stdin() {
            Call call = CURRENT.get();
            return call == null ? InputStream.nullInputStream() : call.stdin;
        }

        @Override
        public int read() throws IOException {
            return stdin().read();
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            return stdin().read(bytes, offset, length);
        }

        @Override
        public int available() throws IOException {
            return stdin().available();
        }
    }
}
