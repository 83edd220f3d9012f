# frozen_string_literal: true

require 'json'

module Bank
  # Keeps money.
  class Account < Base
    include Comparable

    MINIMUM = 10
    Entry = Struct.new(:amount, :text) do
      def debit? = amount.negative?
    end

    attr_reader :balance

    class << self
      def open(...) = new(...)
    end

    def self.parse(text)
      data = JSON.parse(text, symbolize_names: true)
      new(**data)
    end

    def initialize(balance: 0, **)
      @balance = balance
      @entries = []
    end

    # Adds to the balance.
    def deposit(amount, text: "deposit #{amount}")
      raise ArgumentError, 'too small' unless amount >= MINIMUM

      @entries << Entry.new(amount, text)
      @balance += amount
    end

    def <=>(other) = balance <=> other.balance

    def each(&block)
      return enum_for(:each) unless block_given?
      @entries.each { |entry| yield entry }
    end

    private

    def secret?
      @balance =~ /\A\d+\z/ ? true : false
    end
  end

  class Savings::Plan
    def interest=(rate)
      @rate = rate
    end
  end
end

RSpec.describe Bank do
  def helper = <<~TEXT
    some text
  TEXT

  it('works') { expect(helper).to eq(%w[a b]) }
end
