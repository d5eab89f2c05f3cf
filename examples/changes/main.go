// Changes shows change data capture, in memory: a consumer follows the log of a database and
// keeps an index by value, is stopped, and goes on where it was.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"slices"
	"strings"

	slatedb "github.com/slatedb/slatedb-go"
)

func main() {
	if err := run(context.Background(), "memory://changes/users"); err != nil {
		log.Fatal(err)
	}
}

// cities is the consumer's own data: who lives where, and how far it has read. It would be
// stored in one transaction; what was seen before is dropped by its number.
type cities struct {
	next uint64            // the log object to go on with
	seen map[string]uint64 // number of the newest row of each user
	of   map[string]string
}

func (c *cities) apply(row slatedb.RawRow) {
	user := string(row.Key)
	if row.Seq <= c.seen[user] {
		return
	}
	c.seen[user] = row.Seq
	if row.Kind == slatedb.TombstoneRow {
		delete(c.of, user)
	} else {
		c.of[user] = string(row.Value)
	}
}

// follow reads the log until it has seen the commit with number until.
func (c *cities) follow(ctx context.Context, location string, until uint64) error {
	r, err := slatedb.NewWALReader(location, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	for g, err := range r.Iterate(ctx, c.next, 0) {
		if err != nil {
			return err
		}
		for _, row := range g.Rows {
			c.apply(row)
		}
		c.next = g.Consumed + 1
		fmt.Printf("  commit %d, %d rows\n", g.Seq, len(g.Rows))
		if g.Seq >= until {
			break
		}
	}
	return nil
}

func (c *cities) String() string {
	by := map[string][]string{}
	for user, city := range c.of {
		by[city] = append(by[city], user)
	}
	var out []string
	for _, city := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[city])
		out = append(out, city+": "+strings.Join(by[city], " "))
	}
	return strings.Join(out, ", ")
}

func run(ctx context.Context, location string) error {
	db, err := slatedb.Open(ctx, location, &slatedb.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	put := func(user, city string) error { return db.Put(ctx, []byte(user), []byte(city)) }
	c := &cities{seen: map[string]uint64{}, of: map[string]string{}}

	var b slatedb.WriteBatch
	b.Put([]byte("ann"), []byte("Oslo"))
	b.Put([]byte("bob"), []byte("Rome"))
	if err := db.Write(ctx, &b); err != nil {
		return err
	}
	if err := put("cat", "Oslo"); err != nil {
		return err
	}
	fmt.Println("the consumer starts")
	if err := c.follow(ctx, location, db.Status().DurableSeq); err != nil {
		return err
	}
	fmt.Println(c)

	// It is away, and the database goes on.
	if err := put("ann", "Rome"); err != nil {
		return err
	}
	if err := db.Delete(ctx, []byte("cat")); err != nil {
		return err
	}
	fmt.Println("the consumer is back")
	if err := c.follow(ctx, location, db.Status().DurableSeq); err != nil {
		return err
	}
	fmt.Println(c)
	return nil
}
