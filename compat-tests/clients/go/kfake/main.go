// franz-go's kfake as a broker of its own, with its log in memory: a peer of ../../../bench/limits.
// It must never change what kfake does, except for where it listens.
package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

// kfake PORT [CERTIFICATE KEY]: port 0 is one that is free; with a certificate it speaks TLS.
func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(arguments []string) error {
	if len(arguments) != 1 && len(arguments) != 3 {
		return fmt.Errorf("usage: kfake PORT [CERTIFICATE KEY]")
	}
	port, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	options := []kfake.Opt{kfake.Ports(port)}
	if len(arguments) == 3 {
		pair, err := tls.LoadX509KeyPair(arguments[1], arguments[2])
		if err != nil {
			return err
		}
		options = append(options, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return err
	}
	fmt.Println(cluster.ListenAddrs()[0])
	select {}
}
