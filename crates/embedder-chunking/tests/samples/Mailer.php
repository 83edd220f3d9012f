<!DOCTYPE html>
<title><?= htmlspecialchars($title) ?></title>
<?php
declare(strict_types=1);

namespace App\Mail;

use Psr\Log\LoggerInterface;

const RETRIES = 3, DELAY = 0.5;
define('MAIL_FROM', 'shop@example.com');

interface Transport
{
    public function send(Message $message): bool;
}

/**
 * Sends messages, again if need be.
 */
#[Service]
abstract class Mailer implements Transport
{
    use LogsErrors;

    public const DEFAULT_PORT = 587;

    private ?Transport $next = null;

    public function __construct(private readonly LoggerInterface $log, protected array $options = []) {}

    public function send(Message $message): bool
    {
        for ($i = 0; $i < RETRIES; $i++) {
            try {
                return $this->attempt($message);
            } catch (\RuntimeException $e) {
                $this->log->warning("attempt {$i}: {$e->getMessage()}", ['to' => $message->to]);
            }
        }
        return false;
    }

    abstract protected function attempt(Message $message): bool;
}

trait LogsErrors
{
    protected static function format(\Throwable $e): string { return sprintf('%s', $e); }
}

enum Priority: int
{
    case Low = 0;
    case High = 1;
    const DEFAULT = self::Low;
    public function label(): string { return match ($this) { self::Low => 'low', self::High => 'high' }; }
}

if (!function_exists('App\Mail\deliver')) {
    function deliver(Transport $transport, Message ...$messages): void
    {
        array_map(fn ($m) => $transport->send($m), $messages);
        echo <<<TEXT
        done {$messages[0]->to}
        TEXT;
    }
}
?>
<p>Thanks</p>
