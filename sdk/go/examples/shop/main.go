// A shop on net/http: one client for the process, asked in every handler, closed when a signal ends it.
//
//	FLAGSHIP_SERVER_KEY=… FLAGSHIP_URL=http://127.0.0.1:8000 go run ./examples/shop
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"openflagship"
)

func main() {
	if err := run(); err != nil {
		slog.Error("the shop ends", "error", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := openflagship.New(os.Getenv("FLAGSHIP_SERVER_KEY"), os.Getenv("FLAGSHIP_URL"), openflagship.Options{})
	if err != nil {
		return err
	}
	slog.Info("flags are served", "from", client.Ready(ctx))
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: Shop(client), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	// First no more requests, then what they left to send.
	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(last), client.Close(last))
}

// Shop has a page that a flag decides about, and a purchase that is counted.
func Shop(client *openflagship.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkout", func(w http.ResponseWriter, r *http.Request) {
		page := "the old checkout"
		if client.IsEnabled("new-checkout", userOf(r)) {
			page = "the new checkout"
		}
		fmt.Fprintln(w, page)
	})
	mux.HandleFunc("POST /purchase", func(w http.ResponseWriter, r *http.Request) {
		client.Track("purchase", userOf(r), openflagship.TrackDetails{Value: openflagship.Value(9.5)})
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func userOf(r *http.Request) openflagship.User {
	return openflagship.User{
		ID:         r.FormValue("user"),
		Attributes: map[string]any{"country": r.Header.Get("X-Country")},
	}
}
