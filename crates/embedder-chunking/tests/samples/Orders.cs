using System;
using System.Collections.Generic;
using System.Linq;

namespace Shop.Orders;

/// <summary>Whether an order may still change.</summary>
public enum Status { Open, Paid, Shipped }

public readonly record struct Money(decimal Amount, string Currency)
{
    public static Money operator +(Money a, Money b) => a with { Amount = a.Amount + b.Amount };
    public static implicit operator decimal(Money money) => money.Amount;
}

public interface IRepository<T> where T : class
{
    T? Find(Guid id);
    IEnumerable<T> All { get; }
}

/// <summary>
/// What a customer wants.
/// </summary>
[Serializable]
public sealed partial class Order : IDisposable
{
    public const int MaxLines = 100;
    private static readonly object Gate = new();
    private readonly List<string> lines = new();

    public Guid Id { get; init; } = Guid.NewGuid();
    public string this[int i] => lines[i];
    public event EventHandler? Changed;

    public Order(params string[] lines) { this.lines.AddRange(lines); }

    ~Order() { Dispose(); }

    public void Add(string line)
    {
        lock (Gate)
        {
            if (lines.Count >= MaxLines) throw new InvalidOperationException($"at most {MaxLines} lines");
            lines.Add(line);
        }
        Changed?.Invoke(this, EventArgs.Empty);
    }

    public async Task<int> CountAsync() => await Task.FromResult(lines.Where(l => l is { Length: > 0 }).Count());

    public void Dispose() => GC.SuppressFinalize(this);
}

internal delegate void Handler(Order order);
#if DEBUG
static class Extensions { public static bool IsEmpty(this Order order) => order[0] == @"\"; }
#endif
