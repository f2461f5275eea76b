// Go's net package, as its users write it: one goroutine a connection that reads through a bufio.Reader and writes answers
// through a bufio.Writer, flushed when no further frame waits; the idle timer is the connection's read deadline. Runs with
// GOMAXPROCS=1.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	header      = 4
	limit       = 8 << 20
	helloLength = 32
	kindHello   = 1
	kindPing    = 2
	kindData    = 3
	answer      = 0x80
)

func allowed(length uint32, kind byte, greeted bool) bool {
	if length == 0 || length > limit {
		return false
	}
	if !greeted {
		return length == helloLength && kind == kindHello
	}
	return kind == kindPing || kind == kindData
}

// hasWhole tells whether a further frame can be answered without waiting.
func hasWhole(in *bufio.Reader) bool {
	if in.Buffered() < header {
		return false
	}
	head, _ := in.Peek(header)
	return in.Buffered() >= header+int(binary.BigEndian.Uint32(head))
}

func serve(c net.Conn, idle time.Duration) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 4096)
	out := bufio.NewWriterSize(c, 4096)
	greeted := false
	var large []byte
	c.SetReadDeadline(time.Now().Add(idle))
	for {
		head, err := in.Peek(header + 1)
		if err != nil {
			return
		}
		length := binary.BigEndian.Uint32(head)
		if !allowed(length, head[header], greeted) {
			return
		}
		greeted = true
		whole := header + int(length)
		var frame []byte
		if whole <= in.Size() {
			if frame, err = in.Peek(whole); err != nil {
				return
			}
			frame[header] |= answer
			_, err = out.Write(frame)
			in.Discard(whole)
		} else {
			if cap(large) < whole {
				large = make([]byte, whole)
			}
			frame = large[:whole]
			if _, err = io.ReadFull(in, frame); err != nil {
				return
			}
			frame[header] |= answer
			_, err = out.Write(frame)
		}
		if err != nil {
			return
		}
		if !hasWhole(in) {
			if out.Flush() != nil {
				return
			}
			c.SetReadDeadline(time.Now().Add(idle))
		}
	}
}

// countAllocations writes how many there were to the file that MALLOC_COUNT_FILE names, at the end: Go has an allocator of
// its own, which an interposed malloc does not see.
func countAllocations() {
	path := os.Getenv("MALLOC_COUNT_FILE")
	if path == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		os.WriteFile(path, []byte(strconv.FormatUint(stats.Mallocs, 10)+"\n"), 0o644)
		os.Exit(0)
	}()
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: server PORT [IDLE_MILLISECONDS]")
		os.Exit(64)
	}
	runtime.GOMAXPROCS(1)
	idle := 120 * time.Second
	if len(os.Args) > 2 {
		milliseconds, err := strconv.Atoi(os.Args[2])
		if err != nil {
			os.Exit(64)
		}
		idle = time.Duration(milliseconds) * time.Millisecond
	}
	// Keepalive would cost three calls a connection.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	countAllocations()
	fmt.Println("ready", os.Getpid())
	for {
		c, err := listener.Accept()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go serve(c, idle)
	}
}
