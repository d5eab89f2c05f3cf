package manifest

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goldenDir = "../testdata/golden"

// goldenFiles returns the golden files whose names end with ext, by path below goldenDir.
func goldenFiles(t testing.TB, ext string) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	err := filepath.WalkDir(goldenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ext) {
			return err
		}
		body, err := os.ReadFile(path)
		rel, _ := filepath.Rel(goldenDir, path)
		out[filepath.ToSlash(rel)] = body
		return err
	})
	require.NoError(t, err)
	return out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sameBytes(t *testing.T, path string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Errorf("%s: re-encoded to other bytes\nwant %x\ngot  %x", path, want, got)
	}
}

func TestGoldenManifestsReencodeToTheSameBytes(t *testing.T) {
	files := goldenFiles(t, ".manifest")
	v2 := 0
	for path, body := range files {
		m, err := Decode(path, 7, body)
		require.NoError(t, err, path)
		assert.EqualValues(t, 7, m.ID)
		if m.FormatVersion == 2 {
			v2++
			sameBytes(t, path, body, must(m.Encode()))
			sameBytes(t, path, body, must(m.Clone().Encode()))
			continue
		}
		// A version 1 object becomes version 2 with the same content.
		again, err := Decode(path, 7, must(m.Encode()))
		require.NoError(t, err, path)
		m.FormatVersion = 2
		assert.Equal(t, m, again, path)
	}
	t.Logf("%d manifests, %d in version 2", len(files), v2)
	assert.Greater(t, v2, 200)
	assert.Greater(t, len(files), v2+10)
}

func TestGoldenCompactionsReencodeToTheSameBytes(t *testing.T) {
	files := goldenFiles(t, ".compactions")
	v2 := 0
	for path, body := range files {
		c, err := DecodeCompactions(path, 7, body)
		require.NoError(t, err, path)
		if c.FormatVersion == 2 {
			v2++
			sameBytes(t, path, body, must(c.Encode()))
			sameBytes(t, path, body, must(c.Clone().Encode()))
		}
	}
	t.Logf("%d compactions objects, %d in version 2", len(files), v2)
	assert.Greater(t, v2, 100)
}

// sidecars returns the decoded JSON of every golden object by path below goldenDir.
func sidecars(t *testing.T) map[string]any {
	t.Helper()
	out := make(map[string]any)
	load := func(path string) map[string]any {
		body, err := os.ReadFile(filepath.Join(goldenDir, path))
		require.NoError(t, err)
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		var v map[string]any
		require.NoError(t, d.Decode(&v), path)
		return v
	}
	for _, name := range []string{"base", "clone", "plain", "projected", "segments", "v1up"} {
		v := load("db/decoded/" + name + ".json")
		dir := "db/store/" + v["database"].(string) + "/"
		for kind, folder := range map[string]string{"manifests": "manifest", "compactions": "compactions"} {
			sub, _ := v[kind].(map[string]any)
			for object, content := range sub {
				out[dir+folder+"/"+object] = content
			}
		}
	}
	for object, content := range load("db/decoded/loose.json") {
		out["db/loose/"+object] = content
	}
	dirs, err := filepath.Glob(filepath.Join(goldenDir, "db018/*/decoded.json"))
	require.NoError(t, err)
	for _, d := range dirs {
		name := filepath.Base(filepath.Dir(d))
		for object, content := range load("db018/" + name + "/decoded.json") {
			out["db018/"+name+"/store/"+object] = content
		}
	}
	return out
}

func TestGoldenContentIsWhatTheSidecarsSay(t *testing.T) {
	compared := map[string]int{}
	for path, want := range sidecars(t) {
		body, err := os.ReadFile(filepath.Join(goldenDir, path))
		require.NoError(t, err, path)
		var got json.Marshaler
		switch ext := filepath.Ext(path); ext {
		case ".manifest":
			m, err := Decode(path, 1, body)
			require.NoError(t, err, path)
			got = m
			if w := want.(map[string]any); m.FormatVersion == 1 {
				sidecarToV2(w)
			}
		case ".compactions":
			c, err := DecodeCompactions(path, 1, body)
			require.NoError(t, err, path)
			got = c
		case ".boundary":
			n, err := parseBoundary(body)
			require.NoError(t, err, path)
			text, isText := want.(string)
			if !isText {
				text = want.(json.Number).String()
			}
			assert.Equal(t, strings.TrimSpace(text), strconv.FormatUint(n, 10), path)
			compared[ext]++
			continue
		default:
			continue
		}
		compared[filepath.Ext(path)]++
		text, err := json.Marshal(got)
		require.NoError(t, err, path)
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var have map[string]any
		require.NoError(t, d.Decode(&have))
		delete(have, "id") // ours, from the name
		assert.Equal(t, normal("", want), normal("", have), path)
		if t.Failed() {
			return
		}
	}
	t.Logf("compared %v", compared)
	assert.Greater(t, compared[".manifest"], 200)
	assert.Greater(t, compared[".compactions"], 100)
	assert.Greater(t, compared[".boundary"], 1)
}

// sidecarToV2 brings the decoded form of a version 1 manifest to that of version 2, by
// manifest.md section 4.1.
func sidecarToV2(w map[string]any) {
	tables := map[string]any{}
	views := func(rows any) []any {
		var out []any
		for _, r := range rows.([]any) {
			row := r.(map[string]any)
			view := map[string]any{"id": row["id"], "sst_id": row["id"]}
			if v, ok := row["visible_range"]; ok {
				view["visible_range"] = v
			}
			delete(row, "visible_range")
			tables[row["id"].(string)] = row
			out = append(out, view)
		}
		return out
	}
	w["l0"] = views(w["l0"])
	for _, r := range w["compacted"].([]any) {
		run := r.(map[string]any)
		run["ssts"] = views(run["ssts"])
	}
	w["last_compacted_l0_sst_view_id"] = w["l0_last_compacted"]
	delete(w, "l0_last_compacted")
	var list []any
	for _, row := range tables {
		list = append(list, row)
	}
	w["ssts"] = list
}

// defaults are values that a sidecar may show or leave out.
var defaults = map[string]bool{
	"": true, "0": true, "false": true, "NONE": true, "None": true, "Legacy": true,
}

// normal removes from decoded JSON what is at its default, so that both ways of showing it
// are equal, and sorts tables by id.
func normal(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "raw_hex" || k == "version" || k == "manifest_id" && field == "" {
				continue
			}
			if n := normal(k, x); n != nil {
				out[k] = n
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, x := range v {
			out = append(out, normal(field+"[]", x))
		}
		if field == "ssts" && len(out) > 0 {
			if m, ok := out[0].(map[string]any); ok && m["info"] != nil {
				byID := map[string]any{}
				for _, x := range out {
					byID[x.(map[string]any)["id"].(string)] = x
				}
				return byID
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case json.Number:
		if v.String() == "0" {
			return nil
		}
		return v.String()
	case bool:
		if !v {
			return nil
		}
		return v
	case string:
		if defaults[v] || field == "sst_type" && v == "Compacted" || field == "status" && (v == "Submitted" || v == "InProgress") {
			return nil
		}
		return v
	}
	return v
}
