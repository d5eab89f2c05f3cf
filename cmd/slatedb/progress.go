package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A progress shows how far a long command is: a bar that is drawn over itself on a terminal,
// a line now and then elsewhere. It belongs to one goroutine.
type progress struct {
	w          io.Writer
	verb, unit string // "loaded", "files"
	terminal   bool
	every      time.Duration
	begun      time.Time
	drawn      time.Time
	files, all int
	bytes      int64
	allBytes   int64
	width      int // of the last line drawn over itself
}

func newProgress(w io.Writer, verb string, files int, bytes int64) *progress {
	p := &progress{w: w, verb: verb, unit: "files", all: files, allBytes: bytes, begun: time.Now(), every: 5 * time.Second}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			p.terminal, p.every = true, 100*time.Millisecond
		}
	}
	p.drawn = p.begun
	return p
}

// add counts one file or object.
func (p *progress) add(bytes int64) {
	p.files++
	p.bytes += bytes
	if now := time.Now(); now.Sub(p.drawn) >= p.every {
		p.drawn = now
		p.draw(now)
	}
}

// note prints a line of its own, clear of the bar.
func (p *progress) note(format string, args ...any) {
	p.wipe()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// done prints the last line.
func (p *progress) done() {
	p.wipe()
	fmt.Fprintf(p.w, "%s\n", p.line(time.Now(), false))
}

func (p *progress) wipe() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *progress) draw(now time.Time) {
	if !p.terminal {
		fmt.Fprintf(p.w, "%s\n", p.line(now, false))
		return
	}
	line := p.line(now, true)
	pad := max(0, p.width-len(line))
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", pad))
	p.width = len(line)
}

// line is "loaded [=====     ] 51%  5100/10000 files  12.3 MiB  4.1 MiB/s  900 files/s".
func (p *progress) line(now time.Time, bar bool) string {
	share := 1.0
	switch {
	case p.allBytes > 0:
		share = float64(p.bytes) / float64(p.allBytes)
	case p.all > 0:
		share = float64(p.files) / float64(p.all)
	}
	share = min(max(share, 0), 1) // files may grow while they are read
	secs := max(now.Sub(p.begun).Seconds(), 0.001)
	drawn := ""
	if bar {
		const cells = 24
		full := int(share * cells)
		drawn = "[" + strings.Repeat("=", full) + strings.Repeat(" ", cells-full) + "] "
	}
	return fmt.Sprintf("%s %s%3.0f%%  %d/%d %s  %s  %s/s  %.0f %s/s", p.verb, drawn, 100*share,
		p.files, p.all, p.unit, bytesText(p.bytes), bytesText(int64(float64(p.bytes)/secs)), float64(p.files)/secs, p.unit)
}
