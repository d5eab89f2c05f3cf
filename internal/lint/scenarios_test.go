package lint

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scenarios is how many known failures of engines of this kind there are by group: fencing,
// replay, acknowledgements, collection, clones and readers, compaction, isolation, iterators,
// caches, stores, input, life cycle. Each has a test that bears its id: TestA1_...
var scenarios = map[string]int{"A": 12, "B": 12, "C": 8, "D": 9, "E": 11, "F": 13, "G": 5, "H": 10, "I": 6, "J": 9, "K": 6, "L": 7}

// elsewhere are scenarios whose tests do not bear the id, or that have none yet, and why.
var elsewhere = map[string]string{
	"K1": "the verifier's tests in internal/flatbuf",
}

var (
	testName   = regexp.MustCompile(`func (Test|Fuzz)((?:[A-L][0-9]{1,2})+)(?:And[A-Z]\w*)?_`)
	scenarioID = regexp.MustCompile(`[A-L][0-9]{1,2}`)
	subtestID  = regexp.MustCompile(`t\.Run\("([A-L][0-9]{1,2})[ :_"]`)
)

// TestScenarios holds the list against the tests.
func TestScenarios(t *testing.T) {
	root := repoRoot(t)
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		for _, m := range testName.FindAllSubmatch(src, -1) {
			for _, id := range scenarioID.FindAllString(string(m[2]), -1) {
				found[id] = append(found[id], rel)
			}
		}
		for _, m := range subtestID.FindAllSubmatch(src, -1) {
			found[string(m[1])] = append(found[string(m[1])], rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range slices.Sorted(maps.Keys(scenarios)) {
		for n := 1; n <= scenarios[g]; n++ {
			id := fmt.Sprint(g, n)
			why, known := elsewhere[id]
			switch {
			case len(found[id]) == 0 && !known:
				t.Errorf("scenario %s has no test that bears its id", id)
			case len(found[id]) > 0 && known && strings.Contains(why, "not built"):
				t.Errorf("scenario %s has tests in %v; take it off the list: %s", id, found[id], why)
			}
		}
	}
}
