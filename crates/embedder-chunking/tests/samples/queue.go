// Package queue hands out work.
package queue

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("queue: closed")

const (
	minWorkers = 1 << iota
	maxWorkers
)

type (
	// Job is one piece of work.
	Job func(ctx context.Context) error

	state int
)

// Runner runs jobs.
type Runner interface {
	Run(ctx context.Context, jobs ...Job) error
}

// Queue keeps jobs in order.
type Queue[T any] struct {
	mu    sync.Mutex
	items []T
	done  chan struct{}
}

// New returns an empty queue.
func New[T any]() *Queue[T] { return &Queue[T]{done: make(chan struct{})} }

// Push adds an item at the end.
func (q *Queue[T]) Push(item T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.done:
		return ErrClosed
	default:
	}
	q.items = append(q.items, item)
	return nil
}

func (q *Queue[T]) Each(f func(int, T) bool) {
	for i, item := range q.items {
		if !f(i, item) {
			return
		}
	}
}

func run(ctx context.Context, jobs []Job) (err error) {
	for _, job := range jobs {
		if e := job(ctx); e != nil {
			err = errors.Join(err, e)
		}
	}
	return
}
