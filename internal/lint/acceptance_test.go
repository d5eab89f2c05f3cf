package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// acceptanceLines is how many lines the list has.
const acceptanceLines = 34

var acceptanceLink = regexp.MustCompile(`\[((?:Test|Fuzz|Example)\w*)\]\(([^)]*)\)`)

// acceptanceProblems holds the table of a page that lies in folder docs of root against the
// tests: each line stands there once, in order, and names tests that exist where it says.
func acceptanceProblems(root, page string, lines int) (problems []string) {
	next := 1
	for _, line := range strings.Split(page, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		if n != next {
			problems = append(problems, "line "+itoa(n)+" stands where "+itoa(next)+" should")
		}
		next = n + 1
		links := acceptanceLink.FindAllStringSubmatch(cells[3], -1)
		if len(links) == 0 && !strings.Contains(cells[4], "to come") {
			problems = append(problems, "line "+itoa(n)+" names no test")
		}
		if named := strings.Count(cells[3], "Test") + strings.Count(cells[3], "Fuzz"); named > 0 && len(links) == 0 {
			problems = append(problems, "line "+itoa(n)+" names tests without links")
		}
		for _, l := range links {
			src, err := os.ReadFile(filepath.Join(root, "docs", filepath.FromSlash(l[2])))
			switch {
			case err != nil:
				problems = append(problems, "line "+itoa(n)+": there is no "+l[2])
			case !strings.HasSuffix(l[2], "_test.go") || !strings.Contains(string(src), "\nfunc "+l[1]+"("):
				problems = append(problems, "line "+itoa(n)+": "+l[2]+" has no "+l[1])
			}
		}
	}
	if next != lines+1 {
		problems = append(problems, "the table ends with line "+itoa(next-1)+", not "+itoa(lines))
	}
	return problems
}

func TestAcceptanceTable(t *testing.T) {
	root := repoRoot(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "acceptance.md"))
	require.NoError(t, err)
	for _, p := range acceptanceProblems(root, string(page), acceptanceLines) {
		t.Error(p)
	}
}

// TestAcceptanceTableSeesWhatIsWrong keeps the check itself honest.
func TestAcceptanceTableSeesWhatIsWrong(t *testing.T) {
	root := repoRoot(t)
	good := "| 1 | a | [TestAcceptanceTable](../internal/lint/acceptance_test.go) | |\n| 2 | b | | to come |\n"
	assert.Empty(t, acceptanceProblems(root, good, 2))
	for name, page := range map[string]string{
		"no such test":   strings.Replace(good, "[TestAcceptanceTable]", "[TestAcceptanceTabl]", 1),
		"no such file":   strings.Replace(good, "acceptance_test.go", "acceptanc_test.go", 1),
		"no test":        strings.Replace(good, "to come", "", 1),
		"a line is gone": strings.Replace(good, "| 2 |", "| 3 |", 1),
		"too short":      strings.SplitAfter(good, "\n")[0],
		"no link":        strings.Replace(good, "| 2 | b | |", "| 2 | b | TestX |", 1),
	} {
		assert.NotEmpty(t, acceptanceProblems(root, page, 2), name)
	}
}
