package prices_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/objstore/prices"
)

func TestEstimate(t *testing.T) {
	s3, ok := prices.For("s3")
	require.True(t, ok)
	rows := []metered.Row{
		{Method: "put", Requests: 1000}, {Method: "upload", Requests: 1000}, {Method: "list", Requests: 1000},
		{Method: "get", Requests: 1000, BytesIn: 1 << 30}, {Method: "read", Requests: 1000}, {Method: "head", Requests: 1000},
		{Method: "delete", Requests: 1000},
	}
	assert.InDelta(t, 3*0.005+3*0.0004, s3.Cost(rows).Requests, 1e-9)
	e := s3.Estimate(rows, prices.Month/10)
	assert.InDelta(t, 10*(3*0.005+3*0.0004), e.Requests, 1e-9)
	assert.Zero(t, e.Transfer)
	assert.Zero(t, s3.Estimate(rows, 0))
	assert.InDelta(t, 2.3, s3.Storage(100<<30), 1e-9)

	express, ok := prices.For("s3-express")
	require.True(t, ok)
	assert.InDelta(t, 0.0006, express.Cost(rows).Transfer, 1e-9)
	assert.Equal(t, "s3-express", express.Name)
}

func TestTables(t *testing.T) {
	assert.Equal(t, []string{"azure", "gcs", "minio", "r2", "s3", "s3-express"}, prices.Names())
	for _, n := range prices.Names() {
		p, ok := prices.For(n)
		require.True(t, ok)
		assert.GreaterOrEqual(t, p.Put, p.Get, n)
		assert.Zero(t, p.Delete, n)
		if n == "minio" {
			assert.Equal(t, prices.Table{Name: "minio"}, p)
			continue
		}
		assert.NotEmpty(t, p.Page, n)
		assert.Equal(t, prices.Date, p.AsOf, n)
	}
	_, ok := prices.For("")
	assert.False(t, ok)
	assert.InDelta(t, 730, prices.Month.Hours(), 0.01)
}
