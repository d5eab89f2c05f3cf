// Ttl shows how entries expire, in memory and on a clock that the program turns forward.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync/atomic"
	"time"

	slatedb "github.com/slatedb/slatedb-go"
)

func main() {
	if err := run(context.Background(), "memory://ttl/sessions"); err != nil {
		log.Fatal(err)
	}
}

// wall is a clock whose hands the program moves. Timers go by the real one.
type wall struct{ now atomic.Int64 }

func (w *wall) Now() time.Time                         { return time.UnixMilli(w.now.Load()) }
func (w *wall) NewTimer(d time.Duration) slatedb.Timer { return timer{time.NewTimer(d)} }
func (w *wall) pass(d time.Duration)                   { w.now.Add(d.Milliseconds()) }

type timer struct{ *time.Timer }

func (t timer) C() <-chan time.Time   { return t.Timer.C }
func (t timer) Reset(d time.Duration) { t.Timer.Reset(d) }

func run(ctx context.Context, location string) error {
	clock := new(wall)
	clock.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	db, err := slatedb.Open(ctx, location, &slatedb.Options{
		DefaultTTL: time.Hour, Clock: clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer db.Close(ctx)

	for _, p := range []struct {
		key string
		o   *slatedb.PutOptions
	}{
		{"default", nil}, // Options.DefaultTTL
		{"a minute", &slatedb.PutOptions{TTL: time.Minute}},
		{"never", &slatedb.PutOptions{TTL: -1}},
		{"at 00:30", &slatedb.PutOptions{ExpireAt: clock.Now().Add(30 * time.Minute)}},
	} {
		if _, err := db.PutWithOptions(ctx, []byte(p.key), []byte("x"), p.o); err != nil {
			return err
		}
	}
	for _, step := range []time.Duration{0, time.Minute, 29 * time.Minute, 30 * time.Minute} {
		clock.pass(step)
		fmt.Printf("%s:", clock.Now().UTC().Format("15:04"))
		for e, err := range db.Entries(ctx, slatedb.All, nil) {
			if err != nil {
				return err
			}
			fmt.Printf(" [%s]", e.Key)
		}
		fmt.Println()
	}

	// A lease: taken when nobody holds it, or when the holder's has expired.
	for _, who := range []string{"node-1", "node-2"} {
		_, err := db.PutIf(ctx, []byte("lease"), []byte(who), slatedb.Absent(), &slatedb.PutOptions{TTL: 10 * time.Second})
		fmt.Printf("%s takes the lease: %v\n", who, !errors.Is(err, slatedb.ErrConditionFailed))
		if err != nil && !errors.Is(err, slatedb.ErrConditionFailed) {
			return err
		}
	}
	clock.pass(10 * time.Second)
	if _, err := db.PutIf(ctx, []byte("lease"), []byte("node-2"), slatedb.Absent(), &slatedb.PutOptions{TTL: 10 * time.Second}); err != nil {
		return err
	}
	fmt.Println("10s later node-2 takes it")
	return db.Close(ctx)
}
